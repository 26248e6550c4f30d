"""Writes the folder: everything is checked first, then written beside the target and renamed into place."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment as Jinja
from jinja2 import StrictUndefined

from rewardsmith.envs import Environment
from rewardsmith.envs.environment import PackEnvironment
from rewardsmith.errors import UsageError
from rewardsmith.export.describe import describe_environment
from rewardsmith.export.standalone import standalone_files
from rewardsmith.reward import ops
from rewardsmith.reward.graph import RewardGraph, parse_graph, to_json
from rewardsmith.types import RewardInterface

_FILES = "rewardsmith.export.files"


def export_reward(
    graph_json: str | bytes,
    reward_source: str,
    interface: RewardInterface,
    environment: Environment,
    policy: Path | None,
    out: Path,
    *,
    about: str = "",
) -> Path:
    """Write a folder with the reward that needs no rewardsmith; returns it.

    Args:
        graph_json: the reward's graph; it is checked again.
        reward_source: the readable source, kept for people and never executed.
        interface: what the graph was traced against; it has to be the environment's.
        policy: a `policy.safetensors` to take along, or None.
        out: the folder to make; it may exist if it is empty.
        about: one line for the README, such as the task in words.

    Raises:
        RewardRefused: the graph is not valid.
        EnvironmentFault: the environment's features cannot be computed outside rewardsmith.
        UsageError: `out` is in the way, cannot be written, or the policy does not exist.
    """
    graph = parse_graph(graph_json, interface)
    if interface.digest != environment.interface.digest:
        raise UsageError(
            f"the reward was made for other features or actions than {environment.name} has",
            hint="export it with the environment it was designed for",
        )
    if policy is not None and not policy.is_file():
        raise UsageError(f"no policy at {policy}", hint="name a policy.safetensors of the run, or export without one")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is in the way", hint="choose a folder that does not exist yet")
    texts = _texts(graph, reward_source, environment, with_policy=policy is not None, about=about)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            for name, text in texts.items():
                (beside / name).write_text(text, encoding="utf-8")
            if policy is not None:
                shutil.copyfile(policy, beside / "policy.safetensors")
            beside.chmod(0o755)
            beside.replace(out)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    except OSError as error:
        raise UsageError(f"{out} could not be written: {error}", hint="choose another folder") from error
    return out


def _texts(
    graph: RewardGraph, source: str, environment: Environment, *, with_policy: bool, about: str
) -> dict[str, str]:
    """Every text file of the folder by name."""
    described = describe_environment(environment)
    operations = {"ALLOWED": ops.ALLOWED, "SIZE_TAKING": ops.SIZE_TAKING}
    interpreter = _file("interpreter.py")
    for name, allowed in operations.items():
        before, after = interpreter.split(f'["{{{name}}}"]')
        interpreter = f'{before}"""\n{_wrapped(sorted(allowed))}\n    """.split(){after}'
    texts = {
        "graph.json": to_json(graph),
        "environment.json": json.dumps(described, indent=1, allow_nan=False) + "\n",
        "interpreter.py": interpreter,
        "features.py": _file("features.py"),
        "gym_wrapper.py": _file("gym_wrapper.py"),
        "example_sb3.py": _file("example_sb3.py"),
        "reward.py": source if source.endswith("\n") else source + "\n",
        "README.md": _readme(graph, environment, described["gymnasium"], with_policy=with_policy, about=about),
    }
    if isinstance(environment, PackEnvironment):
        folder = environment.pack.folder / "features.py"
        texts |= standalone_files(environment.pack.text("features.py"), str(folder))
    if described["gymnasium"].startswith("gymnasium_robotics:"):
        texts["robotics.py"] = files("rewardsmith.envs").joinpath("robotics.py").read_text(encoding="utf-8")
    if with_policy:
        texts["policy.py"] = _file("policy.py")
    return texts


def _file(name: str) -> str:
    return files(_FILES).joinpath(name).read_text(encoding="utf-8")


def _wrapped(names: list[str], width: int = 112) -> str:
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) >= width:
            lines.append("")
        lines[-1] += f" {name}" if lines[-1] else name
    return "\n".join(f"    {line}" for line in lines)


def _readme(graph: RewardGraph, environment: Environment, gymnasium: str, *, with_policy: bool, about: str) -> str:
    from rewardsmith import __version__

    jinja = Jinja(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    outputs = graph.reward.outputs
    return jinja.from_string(_file("README.md.j2")).render(
        environment=environment.name,
        gymnasium=gymnasium,
        about=" ".join(about.split()),
        version=__version__,
        extra=" (and Stable-Baselines3 for the example)",
        operations=len(ops.ALLOWED),
        pack=isinstance(environment, PackEnvironment),
        policy=with_policy,
        components=[n.removeprefix("component.") for n in outputs if n.startswith("component.")],
        parameters=graph.parameters,
        structural=graph.structural,
        memory=[spec.name for spec in graph.memory],
        memory_numbers=sum(math.prod(spec.shape) for spec in graph.memory),
        potential=graph.potential is not None,
        gamma=environment.training.gamma,
    )
