"""A tiny recorded world and rewards written as plain functions, so that checks run without an environment or a jail."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor

from rewardsmith.bank import Bank
from rewardsmith.critic.evidence import Evidence
from rewardsmith.critic.sample import from_bank
from rewardsmith.types import ActionSpec, FeatureSpec, RewardInterface

INTERFACE = RewardInterface(
    features=(
        FeatureSpec(name="x", low=-2.0, high=2.0, about="position"),
        FeatureSpec(name="v", shape=(2,), about="velocity"),
        FeatureSpec(name="room", dtype="int64", low=0, high=3),
    ),
    action=ActionSpec(kind="continuous", shape=(2,), low=(-1.0, -1.0), high=(1.0, 1.0)),
)


class Output(NamedTuple):
    total: Tensor
    components: dict[str, Tensor]
    memory: dict[str, Tensor] | None = None
    memory_before: dict[str, Tensor] | None = None


class FakeProgram:
    """A RewardProgram over a Python function `f(obs, action, next_obs)` -> total or (total, components)."""

    def __init__(
        self,
        function: Callable,
        *,
        potential: Callable | None = None,
        parameters: dict[str, float] | None = None,
        read: tuple[str, ...] = (),
        structural: tuple[str, ...] = (),
        unused_features: tuple[str, ...] = (),
        graph_id: str = "",
    ) -> None:
        self._function, self._potential = function, potential
        self.parameters, self.structural, self.unused_features = parameters or {}, structural, unused_features
        self.uses_memory, self.has_potential, self.graph_id = False, potential is not None, graph_id
        self.remembers, self.memory_spec = False, {}
        inputs = [SimpleNamespace(source="parameter", name=name) for name in read]
        function = SimpleNamespace(inputs=inputs, constants=(), nodes=(), outputs={}, first_node=len(inputs))
        self.graph = SimpleNamespace(reward=function, potential=None)

    def __call__(self, obs, action, next_obs, *, memory=None, params=None) -> Output:
        result = self._function(obs, action, next_obs)
        total, components = result if isinstance(result, tuple) else (result, {"only": result})
        return Output(total, components)

    def potential(self, obs, *, params=None) -> Tensor:
        return self._potential(obs)


class CountingProgram(FakeProgram):
    """With memory: pays the number of the step within the episode."""

    def __init__(self) -> None:
        super().__init__(lambda obs, action, next_obs: torch.zeros_like(obs["x"]))
        self.uses_memory = self.remembers = True

    def over_rollout(self, obs, action, next_obs, starts, *, memory=None, params=None) -> Output:
        count = torch.zeros(starts.shape[1])
        totals = []
        for start in starts:
            count = torch.where(start, torch.zeros(()), count)
            totals.append(count)
            count = count + 1
        total = torch.stack(totals)
        return Output(total, {"count": total})


def make_bank(
    lengths: list[int] | None = None,
    *,
    success: list[float] | None = None,
    ends: str = "truncated",
    seed: int = 0,
) -> Bank:
    """Random walks of the given lengths. `ends`: `terminated`, `truncated` or `none` says how every episode ends."""
    lengths = [40] * 12 if lengths is None else lengths
    rng = torch.Generator().manual_seed(seed)
    rows = sum(lengths)
    episode = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths, dtype=torch.int64))
    t = torch.cat([torch.arange(n) for n in lengths]) if lengths else torch.zeros(0, dtype=torch.int64)
    last = t == torch.tensor(lengths, dtype=torch.int64)[episode] - 1
    before = {
        "x": torch.rand(rows, generator=rng) * 2 - 1,
        "v": torch.randn(rows, 2, generator=rng),
        "room": torch.randint(0, 4, (rows,), generator=rng),
    }
    after = {"x": before["x"] + 0.1 * torch.randn(rows, generator=rng), "v": before["v"] + 0.1, "room": before["room"]}
    return Bank(
        obs=before,
        action=torch.rand(rows, 2, generator=rng) * 2 - 1,
        next_obs=after | {"terminated": last & (ends == "terminated")},
        truncated=last & (ends == "truncated"),
        episode=episode,
        t=t,
        fitness=torch.full((len(lengths),), torch.nan, dtype=torch.float64),
        success=torch.tensor([torch.nan] * len(lengths) if success is None else success, dtype=torch.float64),
        interface=INTERFACE.digest,
        env_steps=rows,
    )


def evidence(program: FakeProgram | Callable, bank: Bank | None = None, **options) -> Evidence:
    """Evidence over the bank (default: 12 random walks). A bare function becomes a program; `bank=False` means none."""
    if not isinstance(program, FakeProgram):
        program = FakeProgram(program)
    recorded = None if bank is False else from_bank(make_bank() if bank is None else bank)
    return Evidence(program, INTERFACE, recorded=recorded, **options)
