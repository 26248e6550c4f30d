"""From a name as a person types it to an `Environment`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from rewardsmith.envs.environment import Environment, GymEnvironment, PackEnvironment
from rewardsmith.envs.pack import Pack, PackInfo, bundled_packs
from rewardsmith.errors import EnvironmentFault, RewardsmithError
from rewardsmith.types import EnvSpec

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "rewardsmith.envs"
"""Other packages add packs here: an entry point is a folder's path, or a function without arguments returning one."""


def resolve_env(name: str, *, kwargs: Mapping[str, Any] | None = None) -> Environment:
    """The environment called `name`: a pack, a pack's folder, a plugin's pack, a Gymnasium id, or `module:Id`.

    Args:
        kwargs: keyword arguments for the environment; of a pack, only those it lists as options.

    Raises:
        MissingExtra: it needs an optional dependency.
        EnvironmentFault: unknown, broken, or of a kind that cannot be used.
    """
    spec = EnvSpec(name=name, kwargs=dict(kwargs or {}))
    if name in (packs := bundled_packs()):
        return PackEnvironment(Pack(packs[name]), spec)
    folder = Path(name).expanduser()
    if name and (folder / "pack.toml").is_file():
        absolute = EnvSpec(name=str(folder.resolve()), kwargs=spec.kwargs)  # other processes may run elsewhere
        return PackEnvironment(Pack(folder.resolve()), absolute)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            return PackEnvironment(Pack(_plugin_folder(point)), spec)
    if name.startswith((".", "~", "/")) or name.endswith(("/", ".toml", ".py")):
        problem = "there is no pack.toml in" if folder.is_dir() else "no such pack folder:"
        raise EnvironmentFault(f"{problem} {name}", hint="give the folder that holds pack.toml")
    return GymEnvironment(spec)


def is_installed(spec: EnvSpec) -> bool:
    """Whether building an environment runs only code that is installed: no pack folder, no module that it names.

    Keyword arguments of a Gymnasium id can name files and modules too, so it must come without any.
    """
    if spec.name in bundled_packs():
        return True
    if ":" in spec.name or spec.name.startswith((".", "~", "/")) or (Path(spec.name) / "pack.toml").exists():
        return False
    return not spec.kwargs or any(point.name == spec.name for point in entry_points(group=ENTRY_POINT_GROUP))


def list_packs() -> list[PackInfo]:
    """All packs by name, the bundled ones and those of plugins; one that is broken carries its error."""
    found = [_info(name, folder, "bundled") for name, folder in bundled_packs().items()]
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            found.append(_info(point.name, _plugin_folder(point), "plugin"))
        except RewardsmithError as error:
            log.warning("%s", error)
            found.append(PackInfo(name=point.name, source="plugin", error=str(error)))
    return sorted(found, key=lambda info: info.name)


def _info(name: str, folder: Path, source: Any) -> PackInfo:
    try:
        return Pack(folder).info.model_copy(update={"name": name, "source": source})
    except RewardsmithError as error:
        return PackInfo(name=name, path=str(folder), source=source, error=str(error))


def _plugin_folder(point: EntryPoint) -> Path:
    try:
        value: Any = point.load()
        return Path(str(value() if callable(value) else value))
    except Exception as error:  # a boundary: the plugin is someone else's code
        raise EnvironmentFault(
            f"the plugin pack {point.name!r} ({point.value}) fails to load: {type(error).__name__}: {error}",
            hint=f"its entry point in {ENTRY_POINT_GROUP!r} must be a folder's path or a function that returns one",
        ) from error
