"""Environment packs on disk: `pack.toml` and the Python files beside it; a mistake names the file, field and fix."""

from __future__ import annotations

import importlib.util
import tomllib
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from rewardsmith.errors import EnvironmentFault
from rewardsmith.resources import resource_root
from rewardsmith.types import Record


class TrainingDefaults(Record):
    """PPO settings that suit an environment; the names are those of the trainer's own configuration."""

    env_steps: PositiveInt = Field(default=200_000, description="Training budget per seed, in env steps.")
    num_envs: PositiveInt = Field(default=16, description="Environments per member.")
    rollout_steps: PositiveInt = Field(default=128, description="Steps per environment between updates.")
    minibatch_size: PositiveInt = Field(default=256, description="Transitions per gradient step.")
    epochs: PositiveInt = Field(default=10, description="Passes over each rollout.")
    learning_rate: PositiveFloat = Field(default=3e-4, description="Adam's step size.")
    anneal: bool = Field(default=False, description="Lower the learning rate linearly to zero.")
    gamma: float = Field(default=0.99, gt=0, le=1, description="Discount per step.")
    gae_lambda: float = Field(default=0.95, ge=0, le=1, description="Lambda of generalized advantage estimation.")
    clip: PositiveFloat = Field(default=0.2, description="PPO's clip range.")
    entropy_coef: NonNegativeFloat = Field(default=0.0, description="Weight of the entropy bonus.")
    hidden: tuple[Annotated[int, Field(gt=0, multiple_of=32)], ...] = Field(
        default=(64, 64), min_length=1, description="Widths of the hidden layers."
    )
    activation: Literal["tanh", "relu"] = Field(default="tanh", description="Nonlinearity of the hidden layers.")
    normalize_obs: bool = Field(default=True, description="Divide observations by their running deviation.")


class TaskInfo(Record):
    """One task of a pack: the words for the designer, and how success is measured and whether it ends the episode."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    instruction: str = Field(min_length=1)
    metric_about: str = Field(default="", description="One line: what counts as success, what as fitness.")
    goal_ends: bool | None = Field(
        default=None, description="Whether success ends the episode at once; left out: not known."
    )


class PackInfo(Record):
    """What `list_packs` knows of a pack without building it. `error` says why a pack cannot be used."""

    name: str
    about: str = ""
    path: str = ""
    extra: str = ""  # what has to be installed for it: rewardsmith[EXTRA]
    tasks: tuple[str, ...] = ()
    default_task: str = ""
    separable: bool = True
    source: Literal["bundled", "plugin"] = "bundled"
    error: str = ""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EnvSection(_Section):
    """`[env]`: what to build."""

    gymnasium: str = Field(description="Gymnasium id; also the reference for parity and the time limit.")
    backend: Literal["gymnasium", "mujoco", "torch", "nle"] = Field(
        default="gymnasium",
        description="mujoco, torch: world.py states the environment as batched functions; nle: what is read of a game.",
    )
    model: str = Field(default="", description="mujoco: XML file, in the pack's folder or among Gymnasium's assets.")
    frame_skip: PositiveInt = Field(default=1, description="mujoco: physics substeps per env step.")
    horizon: PositiveInt = Field(description="Steps after which an episode is truncated.")
    dt: PositiveFloat | None = Field(default=None, description="Seconds per env step; mujoco: taken from the model.")
    options: tuple[str, ...] = Field(
        default=(), description="Keyword arguments that a person may pass with --env-kwargs."
    )
    action: str = Field(default="", description="One line: what the action means.")


class CameraSection(_Section):
    """`[camera]`: where pictures are taken from: a camera of the model, or a free one."""

    name: str = ""
    distance: PositiveFloat | None = None
    azimuth: float = 90.0
    elevation: float = -20.0
    lookat: tuple[float, float, float] | None = None
    track: str = Field(default="", description="Body that a free camera follows.")


class PackFile(_Section):
    """`pack.toml`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    about: str = Field(min_length=1, description="For people and designers alike.")
    extra: str = Field(default="", description="Our extra that installs it, such as robotics; designers do not see it.")
    separable: bool = Field(default=True, description="False when human.py and sparse.py train equally well.")
    env: EnvSection
    camera: CameraSection = CameraSection()
    task: tuple[TaskInfo, ...] = Field(min_length=1)
    training: TrainingDefaults = TrainingDefaults()


class Pack:
    """A pack folder. Files are loaded when first asked for; `file` is the parsed `pack.toml`."""

    def __init__(self, folder: Path) -> None:
        """Raises: EnvironmentFault: pack.toml is missing, does not parse, or has a field that is wrong."""
        self.folder = folder
        self.file = _read_pack_file(folder / "pack.toml")
        self._modules: dict[str, ModuleType] = {}
        names = [task.name for task in self.file.task]
        if len(set(names)) < len(names):
            raise self.fault("pack.toml", f"two tasks have the same name: {names}", "give each [[task]] its own name")

    @property
    def name(self) -> str:
        return self.file.name

    def fault(self, file: str, problem: str, fix: str) -> EnvironmentFault:
        return EnvironmentFault(f"pack {self.file.name!r}, {self.folder / file}: {problem}", hint=fix)

    def has(self, file: str) -> bool:
        return (self.folder / file).is_file()

    def text(self, file: str) -> str:
        return (self.folder / file).read_text(encoding="utf-8")

    def module(self, file: str) -> ModuleType:
        """One of the pack's trusted Python files, imported under a name of its own.

        Raises: EnvironmentFault: missing, or it fails when imported.
        """
        if file not in self._modules:
            path = self.folder / file
            if not path.is_file():
                raise self.fault(file, "the file is missing", f"add {file} to the pack's folder")
            spec = importlib.util.spec_from_file_location(f"_rewardsmith_pack_{self.name}_{path.stem}", path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except Exception as error:  # a boundary: the pack's code is the user's
                raise self.fault(file, f"{type(error).__name__}: {error}", f"correct {file}") from error
            self._modules[file] = module
        return self._modules[file]

    def member(self, file: str, name: str) -> Any:
        """Attribute `name` of a file.

        Raises: EnvironmentFault: it is not there.
        """
        module = self.module(file)
        if not hasattr(module, name):
            raise self.fault(file, f"{name} is not defined", f"define {name} in {file}")
        return getattr(module, name)

    @property
    def info(self) -> PackInfo:
        tasks = tuple(task.name for task in self.file.task)
        return PackInfo(
            name=self.name,
            about=self.file.about,
            path=str(self.folder),
            extra=self.file.extra,
            tasks=tasks,
            default_task=tasks[0],
            separable=self.file.separable,
        )


def bundled_packs() -> dict[str, Path]:
    """Pack folders by name."""
    root = resource_root("envs")
    return {path.parent.name: path.parent for path in sorted(root.glob("*/pack.toml"))} if root.is_dir() else {}


def _read_pack_file(path: Path) -> PackFile:
    where = f"pack {path.parent.name!r}, {path}"
    if not path.is_file():
        raise EnvironmentFault(f"{where}: the file is missing", hint="a pack is a folder with a pack.toml in it")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EnvironmentFault(f"{where}: not valid TOML: {error}", hint="correct the syntax in that line") from error
    try:
        return PackFile.model_validate(data)
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors()]
        raise EnvironmentFault(
            f"{where}: " + "; ".join(f"{field}: {problem}" for field, problem, _ in problems),
            hint="; ".join(dict.fromkeys(fix for _, _, fix in problems)),
        ) from error


_SECTIONS: dict[str, type[BaseModel]] = {
    "": PackFile,
    "env": EnvSection,
    "camera": CameraSection,
    "task": TaskInfo,
    "training": TrainingDefaults,
}


def _problem(item: Any) -> tuple[str, str, str]:
    """(dotted field, what is wrong, what to do) of one pydantic error."""
    names = [str(part) for part in item["loc"] if not isinstance(part, int)]
    field = ".".join(str(part) for part in item["loc"])
    section = names[0] if len(names) > 1 else ""
    known = list(_SECTIONS.get(section, PackFile).model_fields)
    if item["type"] == "extra_forbidden":
        close = get_close_matches(names[-1], known, n=1)
        return field, "unknown field", f"use {close[0]!r}" if close else f"remove it; known: {', '.join(known)}"
    if item["type"] == "missing":
        return field, "missing", f"add {names[-1]!r}" + (f" to [{section}]" if section else "")
    return field, f"{item['msg']} (is {item.get('input')!r})", f"correct {field}"
