"""`Environment`: a resolved environment, whether from a pack or from a plain Gymnasium id."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from rewardsmith.envs.construct import bare_env, gym_spec, gymnasium_asset
from rewardsmith.envs.gym_world import GymWorld
from rewardsmith.envs.introspect import Description, describe
from rewardsmith.envs.metrics import Metric, NativeMetric, PackMetric
from rewardsmith.envs.mujoco_world import MUJOCO_TASK, MujocoWorld, backend_fields
from rewardsmith.envs.nle_world import NLE_TASK, NleWorld, nle_env
from rewardsmith.envs.pack import Pack, TaskInfo, TrainingDefaults
from rewardsmith.envs.physics import BatchBackend, PhysicsBackend, load_mujoco
from rewardsmith.envs.randomization import Randomization
from rewardsmith.envs.rendering import ClassicArtist, MujocoArtist, MujocoEnvArtist, draw_gym
from rewardsmith.envs.spaces import action_spec, observation_leaves
from rewardsmith.envs.torch_world import TORCH_TASK, TorchWorld
from rewardsmith.envs.world import VecWorld, pick_device
from rewardsmith.errors import EnvironmentFault, MissingExtra, unknown
from rewardsmith.types import EnvSpec, FeatureSpec, RewardInterface

DEFAULT_HORIZON = 1000
"""Time limit of an environment that declares none."""

RANDOMIZE = "randomize"
"""Keyword argument of every MuJoCo pack: what each episode changes in the model, see `Randomization`."""


class Environment:
    """What every other part knows of an environment. Building one is cheap enough to do in each process.

    Attributes:
        spec: how to resolve it again.
        interface: what rewards may read.
        horizon: steps after which an episode is truncated.
        dt: seconds per step, where known.
        tasks: the pack's tasks by name; empty without a pack.
        training: PPO settings that suit it.
        reference_rewards: source text of `human` and `sparse` for the default task, where the pack has them.
        separable: whether these two can be told apart by training on them.
    """

    spec: EnvSpec
    name: str
    about: str
    interface: RewardInterface
    horizon: int
    dt: float | None = None
    tasks: dict[str, TaskInfo]
    default_task: str | None = None
    training: TrainingDefaults
    reference_rewards: dict[str, str]
    separable: bool = True

    def make_world(self, num_envs: int, *, threads: int = 1) -> VecWorld:
        """`num_envs` rows; `threads` native threads where the simulator has its own. Reset all rows before stepping."""
        raise NotImplementedError

    def make_device_world(self, num_envs: int, *, device: str = "auto", captured: bool = True) -> VecWorld:
        """Like `make_world`, with every tensor on one device and nothing in a step that waits for the host.

        MuJoCo packs are simulated by mujoco-warp in float32 (docs/gpu.md), classic control by its torch functions.

        Args:
            device: "cpu", "cuda", "cuda:1"; "auto" is CUDA where there is one, else the CPU.
            captured: let mujoco-warp replay its steps from a recorded graph. The same numbers, much faster.

        Raises:
            EnvironmentFault: this environment, its model or its options run on the CPU's simulators only, or there is
                no such device.
            MissingExtra: mujoco-warp is not installed.
        """
        raise EnvironmentFault(
            f"{self.name} is simulated by its own code, which runs on the CPU only",
            hint="train it on the CPU, or use a pack with MuJoCo or torch dynamics (backend in its pack.toml)",
        )

    def metric(self, task: str | None = None) -> Metric:
        """The trusted metric of a task (None: the default task; without a pack: the native one).

        Raises: EnvironmentFault: no such task.
        """
        raise NotImplementedError

    def native_metric(self) -> NativeMetric:
        """`info["is_success"]` where there is one, else the environment's own return."""
        raise NotImplementedError

    def goal_states(self, n: int, rng: np.random.Generator) -> dict[str, Tensor] | None:
        """Features (n, ...) of states in which the default task is achieved, or None where the pack states none."""
        return None

    def goal_ends(self, task: str | None) -> bool | None:
        """Whether success in a task ends the episode at once; None: nobody said so."""
        return self.tasks[task].goal_ends if task in self.tasks else None

    def watch_reward_terms(self) -> tuple[str, ...]:
        """Let worlds made from now on carry the parts of the native reward in `info`; returns their names.

        Only for audits of that reward: reading them slows every step down a little. Packs state no parts.
        """
        return ()

    def _task(self, task: str | None) -> TaskInfo:
        name = task or self.default_task or ""
        if name not in self.tasks:
            raise EnvironmentFault(f"{self.name}: {unknown('task', name, self.tasks)}")
        return self.tasks[name]


class GymEnvironment(Environment):
    """Any Gymnasium id without a pack."""

    def __init__(self, spec: EnvSpec) -> None:
        """Raises: EnvironmentFault, MissingExtra: it cannot be built, or is of a kind that cannot be used."""
        self.spec, self.name = spec, spec.name
        registered = gym_spec(spec.name)
        self._make = functools.partial(bare_env, spec.name, spec.kwargs)
        env = self._make()
        try:
            self._described: Description = describe(env, spec.name)
        finally:
            env.close()
        self.interface, self.dt = self._described.interface, self._described.dt
        self.horizon = registered.max_episode_steps or DEFAULT_HORIZON
        self.about = self._described.about
        if not registered.max_episode_steps:
            self.about += f" (it declares no time limit: episodes are cut at {DEFAULT_HORIZON} steps)"
        self.tasks, self.default_task = {}, None
        self.training = TrainingDefaults()
        self.reference_rewards = {}
        self._threshold = registered.reward_threshold
        self._info_names: tuple[str, ...] = ("is_success",) if self._described.has_success else ()

    def make_world(self, num_envs: int, *, threads: int = 1) -> VecWorld:
        described = self._described
        return GymWorld(
            self._make,
            num_envs,
            name=self.name,
            action=self.interface.action,
            leaves=described.leaves,
            horizon=self.horizon,
            featurize=described.featurize,
            draw=described.draw,
            reader=described.reader,
            info_names=self._info_names,
        )

    def watch_reward_terms(self) -> tuple[str, ...]:
        terms = self._described.reward_terms
        self._info_names = tuple(dict.fromkeys((*self._info_names, *terms)))
        return terms

    def metric(self, task: str | None = None) -> Metric:
        if task:
            raise EnvironmentFault(
                f"{self.name} has no pack and so no task {task!r}", hint="leave the task out, or give a metric file"
            )
        return self.native_metric()

    def native_metric(self) -> NativeMetric:
        return NativeMetric(has_success=self._described.has_success, threshold=self._threshold)


class PackEnvironment(Environment):
    """An environment pack.

    Attributes:
        native_kwargs: what of `spec.kwargs` is for the Gymnasium environment that the pack stands for.
    """

    native_kwargs: dict[str, Any]

    def __init__(self, pack: Pack, spec: EnvSpec) -> None:
        """Raises: EnvironmentFault: the pack has a mistake, or an option is not one of the pack's."""
        self.spec, self.name, self.pack = spec, pack.name, pack
        file = pack.file
        options = (*file.env.options, RANDOMIZE) if file.env.backend == "mujoco" else file.env.options
        for option in spec.kwargs:
            if option not in options:
                raise EnvironmentFault(
                    f"{pack.name}: {unknown('option', option, options)}",
                    hint="the pack's features and rewards hold for its own settings: pass a listed option, or name "
                    f"the Gymnasium id {file.env.gymnasium} instead of the pack",
                )
        self.native_kwargs = {key: value for key, value in spec.kwargs.items() if key != RANDOMIZE}
        self._randomize = Randomization(spec.kwargs[RANDOMIZE], pack.name) if RANDOMIZE in spec.kwargs else None
        try:
            self._registered = gym_spec(file.env.gymnasium)
        except MissingExtra:
            raise
        except EnvironmentFault as error:
            raise pack.fault("pack.toml", f"env.gymnasium: {error.message}", error.hint) from error
        self.about, self.horizon, self.separable = file.about, file.env.horizon, file.separable
        self.tasks = {task.name: task for task in file.task}
        self.default_task = file.task[0].name
        self.training = file.training
        self.reference_rewards = {
            name: pack.text(f"{name}.py") for name in ("human", "sparse") if pack.has(f"{name}.py")
        }
        self._features = _checked_features(pack)
        self._function = pack.member("features.py", "features")
        if file.env.backend == "mujoco":
            self._model = _load_model(pack)
            self.dt = self._model.opt.timestep * file.env.frame_skip
            low, high = self._model.actuator_ctrlrange.astype(np.float32).T
            space: gym.Space = gym.spaces.Box(low, high, dtype=np.float32)
        else:
            self.dt = file.env.dt
            make = nle_env if file.env.backend == "nle" else bare_env
            self._make = functools.partial(make, file.env.gymnasium, spec.kwargs)
            env = self._make()
            space, self._leaves = env.action_space, observation_leaves(env.observation_space, pack.name)
            self._on_mujoco = type(getattr(env.unwrapped, "model", None)).__name__ == "MjModel"
            env.close()
        self.interface = RewardInterface(features=self._features, action=action_spec(space, pack.name, file.env.action))
        self._is_checked = False

    def make_world(self, num_envs: int, *, threads: int = 1) -> VecWorld:
        backend = self.pack.file.env.backend
        if backend == "mujoco":
            world = self._mujoco_world(lambda fields: BatchBackend(self._model, num_envs, fields, threads=threads))
        elif backend == "torch":
            world = self._torch_world(num_envs, torch.device("cpu"))
        elif backend == "nle":
            world = self._nle_world(num_envs)
        else:
            world = self._gym_world(num_envs)
        return self._checked(world)

    def make_device_world(self, num_envs: int, *, device: str = "auto", captured: bool = True) -> VecWorld:
        backend, on = self.pack.file.env.backend, pick_device(device)
        if backend == "mujoco":
            from rewardsmith.envs.warp_backend import WarpBackend

            world = self._mujoco_world(
                lambda fields: WarpBackend(self._model, num_envs, fields, device=on, captured=captured)
            )
        elif backend == "torch":
            world = self._torch_world(num_envs, on)
        else:
            return super().make_device_world(num_envs)
        return self._checked(world)

    def _mujoco_world(self, make_backend: Callable[[list[str]], PhysicsBackend]) -> VecWorld:
        task = self._members(MUJOCO_TASK)
        return MujocoWorld(
            make_backend(backend_fields(task)),
            task,
            self.interface.action,
            horizon=self.horizon,
            frame_skip=self.pack.file.env.frame_skip,
            featurize=self._featurize,
            draw=MujocoArtist(**self.pack.file.camera.model_dump()).draw,
            randomize=self._randomize,
        )

    def _torch_world(self, num_envs: int, device: torch.device) -> VecWorld:
        return TorchWorld(
            self._members(TORCH_TASK),
            num_envs,
            self.interface.action,
            horizon=self.horizon,
            featurize=self._featurize,
            draw=ClassicArtist(self._make),
            device=device,
        )

    def _nle_world(self, num_envs: int) -> VecWorld:
        return NleWorld(
            self._make,
            num_envs,
            name=self.name,
            task=self._members(NLE_TASK),
            action=self.interface.action,
            horizon=self.horizon,
            featurize=self._featurize,
        )

    def _gym_world(self, num_envs: int) -> VecWorld:
        module = self.pack.module("features.py")
        return GymWorld(
            self._make,
            num_envs,
            name=self.name,
            action=self.interface.action,
            leaves=self._leaves,
            horizon=self.horizon,
            featurize=self._featurize,
            draw=MujocoEnvArtist(**self.pack.file.camera.model_dump()) if self._on_mujoco else draw_gym,
            reader=_PackReader(module.FIELDS, module.read) if hasattr(module, "FIELDS") else None,
        )

    def _members(self, names: tuple[str, ...]) -> Any:
        """The pack's world.py, which has to define `names`."""
        for name in names:
            self.pack.member("world.py", name)
        return self.pack.module("world.py")

    def _featurize(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        values = self._function(fields)
        return {spec.name: values[spec.name].to(getattr(torch, spec.dtype)) for spec in self._features}

    def _checked(self, world: VecWorld) -> VecWorld:
        """`world`, once what `features` returns on its untouched state was compared to what FEATURES says."""
        if self._is_checked:
            return world
        rows = {name: field.clone() for name, field in world.fields().items()}
        try:
            values = self._function(rows)
        except Exception as error:  # a boundary: the pack's code is the user's
            raise self.pack.fault(
                "features.py", f"features() fails: {type(error).__name__}: {error}", "correct features()"
            ) from error
        said = {spec.name: (world.num_envs, *spec.shape) for spec in self._features}
        shapes = {name: tuple(value.shape) for name, value in values.items()}
        if shapes != said:
            wrong = sorted(key for key in said.keys() | shapes.keys() if said.get(key) != shapes.get(key))
            raise self.pack.fault(
                "features.py",
                "features() and FEATURES disagree on "
                + "; ".join(f"{key}: returned {shapes.get(key)}, declared {said.get(key)}" for key in wrong),
                "declare each returned feature once, with its shape per row",
            )
        self._is_checked = True
        return world

    def metric(self, task: str | None = None) -> Metric:
        info = self._task(task)
        module = self.pack.module("metric.py")
        only = "" if info.name == self.default_task and hasattr(module, "step") else f"_{info.name}"
        step = self.pack.member("metric.py", f"step{only}")
        return PackMetric(step, self.pack.member("metric.py", f"episode{only}"), info.metric_about)

    def native_metric(self) -> NativeMetric:
        return NativeMetric(has_success=False, threshold=self._registered.reward_threshold)

    def goal_states(self, n: int, rng: np.random.Generator) -> dict[str, Tensor] | None:
        if not self.pack.has("goals.py"):
            return None
        values: Mapping[str, Any] = self.pack.member("goals.py", "goal_states")(n, rng)
        return self._featurize({name: torch.as_tensor(value) for name, value in values.items()})


class _PackReader:
    """A pack's FIELDS and `read(env, info, action)`."""

    def __init__(self, shapes: Mapping[str, tuple[tuple[int, ...], str]], read: Callable[..., Any]) -> None:
        self.shapes = shapes
        self._read = read

    def read(self, env: gym.Env, info: Mapping[str, Any], action: Any) -> Mapping[str, Any]:
        return self._read(env.unwrapped, info, action)


def _checked_features(pack: Pack) -> tuple[FeatureSpec, ...]:
    features = tuple(pack.member("features.py", "FEATURES"))
    names = [spec.name for spec in features if isinstance(spec, FeatureSpec)]
    if len(names) < len(features) or not features or len(set(names)) < len(names):
        raise pack.fault(
            "features.py", "FEATURES is not a list of FeatureSpecs with different names", "correct FEATURES"
        )
    return features


def _load_model(pack: Pack) -> Any:
    name = pack.file.env.model
    own = pack.folder / name
    path = own if name and own.is_file() else gymnasium_asset(name)
    if not name or path is None:
        raise pack.fault("pack.toml", f"env.model: no such file: {name!r}", "name an XML file in the pack's folder")
    try:
        return load_mujoco().MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise pack.fault("pack.toml", f"env.model: {path} does not load: {error}", "correct the model") from error
