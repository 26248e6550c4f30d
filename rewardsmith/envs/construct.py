"""Building bare Gymnasium environments: no checker, no order enforcing, no time limit; every failure named."""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import io
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import gymnasium as gym

from rewardsmith.envs.pack import bundled_packs
from rewardsmith.envs.robotics import mend_robotics
from rewardsmith.errors import EnvironmentFault, MissingExtra

# What a name starts with, the module that registers it, what to call it, and our extra that installs it.
_PLUGINS = (
    ("MiniHack-", "minihack", "MiniHack", "minihack"),
    ("NetHack", "nle", "NLE", "minihack"),
    ("Fetch", "gymnasium_robotics", "Gymnasium-Robotics", "robotics"),
    ("Hand", "gymnasium_robotics", "Gymnasium-Robotics", "robotics"),
)


def gym_spec(name: str) -> Any:
    """Gymnasium's registration of an id, `module:Id` included.

    Raises:
        MissingExtra: the id belongs to an optional dependency that is not installed.
        EnvironmentFault: unknown.
    """
    module, _, id = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise EnvironmentFault(
                f"{name}: the module {module!r} cannot be imported: {error}",
                hint="install the package that provides it, or correct the part before the colon",
            ) from error
    for prefix, plugin, title, extra in _PLUGINS:
        if id.startswith(prefix) and id not in gym.registry:
            if importlib.util.find_spec(plugin) is None:
                raise MissingExtra(title, extra)
            with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
                # Gymnasium-Robotics prints news when it is imported, and MiniHack still imports pkg_resources.
                warnings.filterwarnings("ignore", message="pkg_resources")
                importlib.import_module(plugin)
        if id.startswith(prefix) and plugin == "gymnasium_robotics":
            mend_robotics()
    try:
        return gym.spec(id)
    except gym.error.DeprecatedEnv as error:
        raise EnvironmentFault(f"{name}: {error}", hint="use the version named above") from error
    except gym.error.Error as error:
        raise EnvironmentFault(_not_found(name, str(error)), hint="see `rewardsmith envs` for the packs") from error


def full_id(name: str) -> str:
    """An id as Gymnasium alone finds it: `module:Id` for one that another package registers."""
    if ":" not in name:
        for prefix, plugin, *_ in _PLUGINS:
            if name.startswith(prefix):
                return f"{plugin}:{name}"
    return name


def _not_found(name: str, said: str) -> str:
    packs = sorted(bundled_packs())
    close = get_close_matches(name, [*packs, *gym.registry], n=3, cutoff=0.5)
    lowered = {known.lower(): known for known in [*packs, *gym.registry]}
    close = close or [lowered[match] for match in get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
    guess = f"; did you mean {', '.join(close)}?" if close else "."
    return (
        f"unknown environment {name!r}{guess} It is no pack ({', '.join(packs)}), no folder, and Gymnasium says: {said}"
    )


def bare_env(name: str, kwargs: Mapping[str, object]) -> gym.Env:
    """One environment without Gymnasium's outer wrappers (those of its registration stay).

    Raises: EnvironmentFault: a dependency is missing, a keyword argument is wrong, or it fails to build.
    """
    spec = copy.deepcopy(gym_spec(name))
    spec.order_enforce = False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="pkg_resources")  # pygame still imports it
            warnings.filterwarnings("ignore", message=".*is out of date.*")
            spec.kwargs = {**spec.kwargs, **kwargs}  # not arguments of make, which has a max_episode_steps of its own
            return gym.make(spec, max_episode_steps=-1, disable_env_checker=True)
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise EnvironmentFault(
            f"{name} needs a package that is not installed: {error}", hint="install the package named above"
        ) from error
    except Exception as error:  # a boundary: the environment is someone else's code
        hint = "correct --env-kwargs" if kwargs else "try it alone with gymnasium.make"
        raise EnvironmentFault(f"{name} cannot be built: {type(error).__name__}: {error}", hint=hint) from error


def gymnasium_asset(name: str) -> Path | None:
    """One of the MuJoCo models that come with Gymnasium."""
    found = importlib.util.find_spec("gymnasium")
    assert found is not None and found.origin is not None
    path = Path(found.origin).parent / "envs" / "mujoco" / "assets" / name
    return path if path.is_file() else None
