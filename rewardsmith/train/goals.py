"""From a goal, which is a record, to the metric that measures it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from rewardsmith.envs import Environment, GoalMetric, Metric, PackMetric, Unmeasured
from rewardsmith.errors import EnvironmentFault, UsageError
from rewardsmith.reward.graph import parse_goal
from rewardsmith.reward.program import GoalProgram
from rewardsmith.train.checks import CheckedMetric
from rewardsmith.types import Criterion, Goal


def load_metric(env: Environment, goal: Goal) -> Metric:
    """The metric of a goal, with its checks.

    Raises:
        EnvironmentFault: the environment has no such task, or the metric file fails when loaded.
        UsageError: a file is missing.
        RewardRefused: the graph of a model-written goal is damaged.
    """
    metric = load_criterion(env, goal)
    if not goal.checks:
        return metric
    checks = [load_criterion(env, check) for check in goal.checks]
    return CheckedMetric(metric, checks, knows_success=knows_success(env, goal))


def knows_success(env: Environment, goal: Goal) -> bool:
    """Whether the goal, its checks aside, defines success; else its 0 says nothing."""
    return goal.kind != "people" and (goal.kind != "native" or env.native_metric().knows_success)


def load_criterion(env: Environment, criterion: Criterion) -> Metric:
    """The metric of a goal without its checks, or of one check. Raises: as `load_metric`."""
    match criterion.kind:
        case "pack":
            return env.metric(criterion.task or None)
        case "metric_file":
            return load_metric_file(Path(criterion.path), criterion.about)
        case "model":
            graph = parse_goal(_read(Path(criterion.path)), env.interface)
            return GoalMetric(GoalProgram.from_graph(graph), criterion.about)
        case "people":
            return Unmeasured()
        case "native":
            return env.native_metric()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the goal at {path}: {error.strerror}", hint="check the path") from error


def load_metric_file(path: Path, about: str = "") -> PackMetric:
    """A person's own metric file, which is trusted: `step(features, previous)` and `episode(sums, last)`.

    Raises: EnvironmentFault: it fails when loaded. UsageError: there is no such Python file.
    """
    if not path.is_file():
        raise UsageError(f"no metric file at {path}", hint="check the path that was given")
    spec = importlib.util.spec_from_file_location(f"_rewardsmith_metric_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file", hint="a metric file ends in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return PackMetric(module.step, module.episode, about or (module.__doc__ or path.name).strip().splitlines()[0])
    except EnvironmentFault:
        raise
    except Exception as error:  # a boundary: the file is the person's own code
        raise EnvironmentFault(
            f"metric file {path}: {type(error).__name__}: {error}",
            hint="define step(features, previous) -> dict and episode(sums, last) -> (fitness, success) in it",
        ) from error
