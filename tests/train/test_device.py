"""The CUDA path without a GPU: tensors without numbers cannot be read by the host, and must not meet those of the CPU.

`meta` takes the GPU's part: a real device of torch whose tensors have a shape and a type only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rewardsmith.envs import VecWorld, resolve_env
from rewardsmith.errors import EnvironmentFault, UsageError
from rewardsmith.train import PpoConfig, TrainJob, run_train_job
from rewardsmith.train.ppo import PopulationPPO
from rewardsmith.types import Goal, Member
from tests.helpers.tiny_world import GoNear, Output

META = torch.device("meta")
CONFIG = PpoConfig(num_envs=4, rollout_steps=6, minibatch_size=8, epochs=2, hidden=(32,), env_steps=48)


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of several devices, except uploads. Counts operations."""

    operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors: list[Tensor] = [v for v in tree_leaves((args, kwargs)) if isinstance(v, Tensor)]
        found = {t.device for t in tensors if t.ndim}
        self.operations += 1
        if len(found) > 1:
            assert func is torch.ops.aten.copy_.default and args[0].device == META, f"{func} mixes {found}"
        return func(*args, **(kwargs or {}))


class Upright(GoNear):
    """Works with the features of any pack."""

    def __init__(self, *, memory: bool) -> None:
        super().__init__()
        self.uses_memory, self.has_potential = memory, True

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        alive = torch.where(next_obs["terminated"], 0.0, 1.0)
        return Output(alive, {"alive": alive}, {"steps": memory["steps"] + 1} if self.uses_memory else None)

    def potential(self, obs: Any) -> Tensor:
        return next(iter(obs.values())).float()

    def initial_memory(self, n: int, device: Any) -> dict[str, Tensor]:
        return {"steps": torch.zeros(n, 1, device=device)} if self.uses_memory else {}


@pytest.fixture
def populate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[PopulationPPO, VecWorld]]:
    """A population with its world on the device that holds no numbers."""
    monkeypatch.setattr("rewardsmith.envs.environment.pick_device", lambda name: META)

    def make(pack: str, members: int, program: Upright) -> tuple[PopulationPPO, VecWorld]:
        environment = resolve_env(pack)
        environment.make_world(1)
        world = environment.make_device_world(members * CONFIG.num_envs)
        group = [Member("c", i) for i in range(members)]
        return PopulationPPO(world, CONFIG, group, {"c": program}, root=0), world

    return make


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("pack", ["cartpole", "pendulum"])
def test_an_iteration_stays_on_its_device_and_is_waited_for_once(
    populate: Callable[..., tuple[PopulationPPO, VecWorld]],
    monkeypatch: pytest.MonkeyPatch,
    pack: str,
    members: int,
    memory: bool,
) -> None:
    population, world = populate(pack, members, Upright(memory=memory))
    waits = {"ended": 0, "to_host": 0}

    def ended() -> np.ndarray:
        waits["ended"] += 1
        return np.array([1, 3])

    def to_host(tensors: Sequence[Tensor]) -> list[np.ndarray]:
        waits["to_host"] += 1
        assert all(t.device == META for t in tensors)
        return [np.ones(tuple(t.shape)) for t in tensors]

    monkeypatch.setattr(world, "ended", ended)
    monkeypatch.setattr("rewardsmith.train.ppo.to_host", to_host)
    with OneDevice() as watched, torch.no_grad():
        population.restart_episodes()
        population.iterate()  # any other look at the numbers raises
    assert waits == {"ended": CONFIG.rollout_steps, "to_host": 1}
    assert watched.operations > 300
    assert not population.failures
    for tensor in (world.obs, population.net.flat, population.net.grad, population.adam.m, population._x):
        assert tensor.device == META


def test_the_watch_sees_a_second_device_and_the_device_a_look(
    populate: Callable[..., tuple[PopulationPPO, VecWorld]],
) -> None:
    population, world = populate("cartpole", 2, Upright(memory=False))
    weights = population.net.flat
    with OneDevice(), pytest.raises(AssertionError, match="mixes"):
        torch.bmm(weights[None], torch.zeros(1, weights.shape[1], 2))
    for look in (world.ended, lambda: bool(world.terminated.any()), lambda: torch.nonzero(world.obs)):
        with pytest.raises((RuntimeError, NotImplementedError)):
            look()


def test_a_training_on_a_device_is_measured_on_the_native_simulator(tmp_path: Path) -> None:
    """Classic control is the same torch functions on both, so that on the CPU nothing may differ."""
    environment = resolve_env("pendulum")
    curves = []
    for device in ("native", "cpu"):
        ppo = CONFIG.model_copy(update={"device": device, "evaluations": 2, "eval_episodes": 2})
        job = TrainJob(
            env=environment.spec,
            goal=Goal(kind="native"),
            members=(Member("c", 0),),
            programs={},
            out=str(tmp_path / device),
            ppo=ppo,
        )
        (result,) = run_train_job(job, environment=environment, programs={"c": Upright(memory=True)})
        assert result.state == "trained", result.error
        curves.append(result.curve)
    assert curves[0] == curves[1]
    assert len(curves[0]) == 2


def test_a_device_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(EnvironmentFault, match="CUDA devices, so there is no cuda:99"):
        resolve_env("pendulum").make_device_world(2, device="cuda:99")


def test_graphs_need_a_device() -> None:
    with pytest.raises(UsageError, match="captured needs a device"):
        PpoConfig.for_environment(resolve_env("cartpole"), captured=True)
