"""The grid of an experiment: one cell is one run, known by what its settings are."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from rewardsmith.budget import BudgetLimits
from rewardsmith.config import DesignConfig
from rewardsmith.envs import Environment
from rewardsmith.errors import RewardsmithError, UsageError, problems_in
from rewardsmith.loop.batch.experiment import (
    REFERENCE_SEED,
    BudgetEntry,
    EnvEntry,
    Experiment,
    ModelEntry,
    Variant,
    load_experiment,
)
from rewardsmith.loop.building import MORE_TIME, build
from rewardsmith.loop.comparison import REFERENCES
from rewardsmith.loop.goal import settle_task
from rewardsmith.loop.methods import load_method, require_method, settings_of
from rewardsmith.loop.parts import open_configured
from rewardsmith.stats import MIN_SEEDS
from rewardsmith.train import PpoConfig
from rewardsmith.train.sb3 import Sb3Config
from rewardsmith.types import EnvSpec, Record, content_id

REFERENCE = "reference"  # the method that is none: the pack's human and sparse rewards
FREE_TO_CHANGE = {"workers", "stall_s", "budget"}  # settings that do not change what a run finds out
SHARED = ("trainer", "algo", "training", "stall_s", "allow_unsandboxed")  # by designs and their references


class Labels(NamedTuple):
    """A cell in the words of its file; cells that differ only in their seed share them."""

    env: str
    method: str
    model: str
    variant: str = ""
    budget: str = ""

    @property
    def group(self) -> str:
        """All but the environment, as one text."""
        return " · ".join(part for part in self[1:] if part)

    def __str__(self) -> str:
        return f"{self.env} · {self.group}"


class Cell(Record):
    """One run of an experiment."""

    labels: Labels
    config: DesignConfig

    @property
    def id(self) -> str:
        """Content hash of the settings, so that a cell is found again however the file is rearranged.

        A default is no part of it: settings that later versions add change nothing. Nor are limits: raising a budget
        goes on with the same run.
        """
        settings = self.config.model_dump(mode="json", exclude=FREE_TO_CHANGE, exclude_defaults=True)
        return content_id([settings, self.labels.budget])

    @property
    def is_reference(self) -> bool:
        return self.labels.method == REFERENCE

    def __str__(self) -> str:
        return str(self.labels) if self.is_reference else f"{self.labels} · seed {self.config.seed}"


class Plan(Record):
    """All cells of an experiment, and for each environment without references why it has none."""

    name: str
    cells: tuple[Cell, ...]
    unreferenced: dict[str, str]


def plan_file(path: Path) -> Plan:
    """The grid of an experiment file. Raises: as `load_experiment` and `plan_experiment`; messages name the file."""
    experiment = load_experiment(path)
    try:
        return plan_experiment(experiment)
    except RewardsmithError as error:
        error.message = f"{path}: {error.message}"
        raise


def plan_experiment(experiment: Experiment) -> Plan:
    """The grid, once every name and setting in it has been looked at.

    Raises:
        UsageError: a method, model, task or setting is unknown or lacks something, two variants are the same, or a
            goal would be written anew by each run.
        EnvironmentFault: an environment is unknown or cannot be built.
    """
    for method in experiment.methods:
        load_method(method)
    for model in experiment.models:
        if model.llm != "builtin":
            open_configured(model.config, Path("desk"))
    cells: list[Cell] = []
    unreferenced: dict[str, str] = {}
    for env in experiment.envs:
        designs = [
            Cell(
                labels=Labels(env.shown, method, model.shown, variant.shown, budget.shown),
                config=_design(experiment, env, method, model, variant, budget, seed),
            )
            for method, model, variant, budget, seed in product(
                experiment.methods, experiment.models, experiment.variants, experiment.budgets, experiment.seeds
            )
        ]
        environment = build(env.name, env.kwargs, stall_s=designs[0].config.stall_s, hint=MORE_TIME)
        for cell in designs:
            _check(cell, environment)
        if not experiment.references:
            unreferenced[env.shown] = "the experiment trains no references"
        elif why := _why_no_references(designs[0].config, environment):
            unreferenced[env.shown] = why
        else:
            cells.append(_reference(experiment, env, designs[0].config))
        cells += designs
    _require_distinct(cells)
    return Plan(name=experiment.name, cells=tuple(cells), unreferenced=unreferenced)


def with_reference_rewards(config: DesignConfig) -> DesignConfig:
    """The config of a reference cell, ready to be trained."""
    environment = build(config.env.name, config.env.kwargs, stall_s=config.stall_s, hint=MORE_TIME)
    rewards = {name: environment.reference_rewards[name] for name in REFERENCES}
    return config.model_copy(update={"rewards": rewards})


# --- inside -----------------------------------------------------------------------------------------------------------


def _design(
    experiment: Experiment,
    env: EnvEntry,
    method: str,
    model: ModelEntry,
    variant: Variant,
    budget: BudgetEntry,
    seed: int,
) -> DesignConfig:
    layers: tuple[dict[str, Any], ...] = (experiment.design, {"training": env.training}, variant.settings)
    settings = {key: value for layer in layers for key, value in layer.items()}
    training = [layer["training"] for layer in layers if "training" in layer]
    settings["training"] = {key: value for layer in training for key, value in layer.items()}
    factors = {
        "env": EnvSpec(name=env.name, kwargs=env.kwargs),
        "words": env.words,
        "task": env.task,
        "metric": env.metric,
        "model": model.config,
        "method": method,
        "seed": seed,
        "budget": budget.limits,
    }
    try:
        config = DesignConfig.model_validate(settings_of(factors["method"], settings | factors))
    except ValidationError as error:
        where = f"[[variant]] {variant.name}" if variant.name else "[design]"
        raise UsageError(f"{where}: {problems_in(error)}", hint="docs/configuration.md") from None
    require_method(config)
    if config.final_seeds * len(experiment.seeds) < MIN_SEEDS:
        raise UsageError(
            f"{config.final_seeds} final_seeds in each of {len(experiment.seeds)} repetitions give no interval",
            hint=f"the table needs at least {MIN_SEEDS} fresh seeds a row: raise final_seeds or seeds",
        )
    return config


def _check(cell: Cell, environment: Environment) -> None:
    """Raises: UsageError: a task or a training setting is wrong, or runs would not share a goal."""
    config = cell.config
    try:
        if settle_task(config, environment) is None:
            raise UsageError(
                "each run would write a goal of its own from the words, so that no two could be compared",
                hint="name a task of the pack, or give a metric file (a model's goal.py is none: see docs/refine.md)",
            )
        if config.trainer == "sb3":
            Sb3Config.for_environment(environment, config.algo, **config.training)
        else:
            PpoConfig.for_environment(environment, **config.training)
    except RewardsmithError as error:
        error.message = f"{cell.labels}: {error.message}"
        raise


def _why_no_references(config: DesignConfig, environment: Environment) -> str:
    """Why human and sparse rewards cannot be trained for this goal; empty where they can."""
    if missing := [name for name in REFERENCES if name not in environment.reference_rewards]:
        return f"it has no {' and no '.join(missing)} reward"
    task = settle_task(config, environment)
    if task is None or task.goal.kind != "pack" or task.goal.task != environment.default_task:
        return f"its reference rewards are made for the task {environment.default_task!r}"
    return ""


def _reference(experiment: Experiment, env: EnvEntry, design: DesignConfig) -> Cell:
    """The human and the sparse reward, trained as a winner is: same training, as many seeds, no search."""
    limits = experiment.budgets[0].limits if len(experiment.budgets) == 1 else BudgetLimits()
    config = DesignConfig(
        env=design.env,
        words=design.words,
        task=design.task,
        method="given",
        rounds=1,
        candidates=len(REFERENCES),
        seeds=max(design.final_seeds, MIN_SEEDS),
        repairs=0,
        final_seeds=0,
        racing=False,
        videos=False,
        seed=REFERENCE_SEED,
        budget=limits,
        **{key: getattr(design, key) for key in SHARED},
    )
    return Cell(labels=Labels(env.shown, REFERENCE, "", " and ".join(REFERENCES)), config=config)


def _require_distinct(cells: list[Cell]) -> None:
    seen: dict[str, Cell] = {}
    for cell in cells:
        if (other := seen.setdefault(cell.id, cell)) is not cell:
            raise UsageError(f"{other} and {cell} are the same run", hint="remove one, or let their settings differ")
