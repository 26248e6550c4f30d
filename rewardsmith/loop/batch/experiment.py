"""The experiment file: environments x methods x models x variants x budgets x repetitions, in TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from rewardsmith.budget import BudgetLimits
from rewardsmith.config import DesignConfig, ModelConfig
from rewardsmith.errors import UsageError, problems_in, unknown
from rewardsmith.loop.report import shown_model
from rewardsmith.store import read_text_file
from rewardsmith.store.folder import slug
from rewardsmith.types import Record

REFERENCE_SEED = 1_000_000  # root seed of the references, so that no search ever trained on their seeds
FACTORS = {"env", "words", "task", "metric", "model", "method", "seed", "budget"}
NOT_FOR_SEARCH = {"rewards", "workers"}  # of the method `given`; of the command
DESIGN_FIELDS = sorted(set(DesignConfig.model_fields) - FACTORS - NOT_FOR_SEARCH)
FIELDS_HINT = "docs/batch.md shows a whole file, docs/configuration.md what each setting takes"

Training = dict[str, float | int | str | bool | tuple[int, ...]]


class EnvEntry(Record):
    """An environment and its goal. `training` goes over that of `[design]`."""

    name: str
    kwargs: dict[str, object] = Field(default_factory=dict)
    words: str = ""
    task: str | None = None
    metric: str | None = None
    training: Training = Field(default_factory=dict)
    label: str = ""

    @property
    def shown(self) -> str:
        return self.label or (f"{self.name}/{self.task}" if self.task else self.name)


class ModelEntry(ModelConfig):
    """A language model, or `builtin`, which is none."""

    llm: str = Field(description="A model's name, desk[:DIR], replay:FILE, or builtin (which is not a language model).")
    label: str = ""

    @property
    def shown(self) -> str:
        return self.label or shown_model(self.llm)

    @property
    def config(self) -> ModelConfig:
        return ModelConfig.model_validate(self.model_dump(exclude={"label"}))


class BudgetEntry(BudgetLimits):
    """Limits of each run. The name tells several budgets apart."""

    name: str = ""

    @property
    def shown(self) -> str:
        return self.name

    @property
    def limits(self) -> BudgetLimits:
        return BudgetLimits.model_validate(self.model_dump(exclude={"name"}))


class Variant(Record):
    """Settings that go over those of `[design]`, under a name: an ablation."""

    name: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)

    @property
    def shown(self) -> str:
        return self.name


class Experiment(Record):
    """What an experiment file asks for. `seeds` are the root seeds of the repetitions of each design."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    envs: tuple[EnvEntry, ...] = Field(min_length=1)
    methods: tuple[str, ...] = Field(min_length=1)
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, lt=REFERENCE_SEED)], ...] = Field(min_length=1)
    references: bool = True
    budgets: tuple[BudgetEntry, ...] = (BudgetEntry(),)
    variants: tuple[Variant, ...] = (Variant(),)
    design: dict[str, Any] = Field(default_factory=dict)


def load_experiment(path: Path) -> Experiment:
    """Read an experiment file. A metric file in it is relative to the file's own folder.

    Raises: UsageError: the file cannot be read, is no TOML, or says something that is not understood.
    """
    text = read_text_file(path, hint="give the path of an experiment file; docs/batch.md shows one")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}", hint=FIELDS_HINT) from None
    try:
        return parse_experiment({"name": slug(path.stem)} | data, folder=path.resolve().parent)
    except ValidationError as error:
        raise UsageError(f"{path}: {problems_in(error)}", hint=FIELDS_HINT) from None
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", hint=error.hint) from None


def parse_experiment(data: Mapping[str, Any], *, folder: Path) -> Experiment:
    """The experiment that the parsed TOML `data` describes.

    Raises: UsageError: an unknown key, a missing part, or two entries of one name. ValidationError: a wrong value.
    """
    lists = ("envs", "methods", "models", "env", "model", "variant")
    _known("key", data, (*lists, "name", "seeds", "references", "budget", "design"))
    for key in lists:
        if not isinstance(data.get(key, []), list):
            raise UsageError(f"{key} must be a list", hint=FIELDS_HINT)
    design = _table("[design]", data.get("design", {}), DESIGN_FIELDS)
    experiment = Experiment(
        name=data["name"],
        envs=tuple(_env(e, folder) for e in _entries(data, "envs", "env", "name", EnvEntry)),
        methods=tuple(_some(data, "methods", "for example methods = ['eureka']")),
        models=tuple(ModelEntry.model_validate(m) for m in _entries(data, "models", "model", "llm", ModelEntry)),
        seeds=_seeds(data.get("seeds", 1)),
        references=data.get("references", True),
        budgets=tuple(BudgetEntry.model_validate(b) for b in _budgets(data.get("budget", {}))),
        variants=tuple(_variant(v) for v in data.get("variant", [{}])),
        design=design,
    )
    for kind, entries in (
        ("environments", [e.shown for e in experiment.envs]),
        ("methods", list(experiment.methods)),
        ("models", [m.shown for m in experiment.models]),
        ("budgets", [b.shown for b in experiment.budgets]),
        ("variants", [v.shown for v in experiment.variants]),
        ("seeds", [str(s) for s in experiment.seeds]),
    ):
        if twice := next((e for e in entries if entries.count(e) > 1), None):
            raise UsageError(f"two {kind} are called {twice!r}", hint="give one of them a `label` or `name` of its own")
    return experiment


# --- inside -----------------------------------------------------------------------------------------------------------


def _known(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises: UsageError: a key that does not exist, with those that are like it."""
    known = list(known)
    for key in given:
        if key not in known:
            raise UsageError(unknown(kind, key, known), hint=FIELDS_HINT)


def _table(where: str, given: Any, known: Iterable[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UsageError(f"{where} must be a table", hint=FIELDS_HINT)
    _known(f"key of {where}", given, known)
    return given


def _some(data: Mapping[str, Any], key: str, hint: str) -> list[Any]:
    if not data.get(key):
        raise UsageError(f"the experiment names no {key}", hint=hint)
    return data[key]


def _entries(data: Mapping[str, Any], plural: str, single: str, name: str, record: type[Record]) -> list[dict]:
    """The short list of names and the tables of one factor, together."""
    fields = record.model_fields
    short = [{name: e} if isinstance(e, str) else _table(plural, e, fields) for e in data.get(plural, [])]
    entries = short + [_table(f"[[{single}]]", e, fields) for e in data.get(single, [])]
    if not entries:
        example = "models = ['builtin'] (which is not a language model)" if single == "model" else "envs = ['hopper']"
        raise UsageError(f"the experiment names no {plural}", hint=f"for example {example}, or [[{single}]] tables")
    return entries


def _env(entry: dict[str, Any], folder: Path) -> EnvEntry:
    env = EnvEntry.model_validate(entry)
    return env if env.metric is None else env.model_copy(update={"metric": str((folder / env.metric).resolve())})


def _seeds(given: Any) -> tuple[int, ...]:
    """So many repetitions from root seed 0, or those root seeds."""
    if isinstance(given, list):
        return tuple(given)
    if not isinstance(given, int) or given < 1:
        raise UsageError(f"seeds = {given} repeats nothing", hint="seeds = 3, or a list of root seeds")
    return tuple(range(given))


def _budgets(given: Any) -> list[dict[str, Any]]:
    tables = given if isinstance(given, list) else [given]
    return [_table("[budget]", table, BudgetEntry.model_fields) for table in tables]


def _variant(given: Any) -> Variant:
    table = _table("[[variant]]", given, ["name", *DESIGN_FIELDS])
    return Variant(name=table.get("name", ""), settings={k: v for k, v in table.items() if k != "name"})
