"""Go to A, then to B, then back to A: a reward with memory, by a policy that sees the memory and by one that does not.

The point moves on a line and shows only where it is, so that between A and B a policy that is blind to the stage of the
task cannot know which way to go: `python benchmarks/memory.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from figures import Figures, options
from torch import Tensor

from rewardsmith.envs import Environment, Metric, PackMetric, TrainingDefaults, VecWorld
from rewardsmith.reward.compile import compile_reward, reward_jail
from rewardsmith.train import PpoConfig, TrainJob, run_train_job
from rewardsmith.types import ActionSpec, EnvSpec, FeatureSpec, Goal, Member, RewardInterface

A, B = -0.7, 0.7  # A is everything left of -0.7, B everything right of 0.7
STRIDE = 0.15
HORIZON = 40
STAGES = 3

SEEING = '''
def initial_memory(n):
    return {"stage": torch.zeros(n)}


def compute_reward(obs, action, next_obs, memory, *, arrival=1.0, progress=1.0):
    """Go to A, then to B, then back to A."""
    x, before = next_obs["position"], memory["stage"]
    stage = sequence(before, x < -0.7, x > 0.7, x < -0.7)
    way = torch.where(before == 1, 1.0, -1.0) * (before < 3)
    arrived, nearer = arrival * (stage - before), progress * way * (x - obs["position"])
    return arrived + nearer, {"arrived": arrived, "nearer": nearer}, {"stage": stage}
'''
# The same reward; the stage comes from the world, which does not show it to the policy.
BLIND = '''
def compute_reward(obs, action, next_obs, *, arrival=1.0, progress=1.0):
    """Go to A, then to B, then back to A."""
    before = obs["stage"]
    way = torch.where(before == 1, 1.0, -1.0) * (before < 3)
    arrived = arrival * (next_obs["stage"] - before)
    nearer = progress * way * (next_obs["position"] - obs["position"])
    return arrived + nearer, {"arrived": arrived, "nearer": nearer}
'''


class LineWorld(VecWorld):
    """A point on [-1, 1] that starts near 0 and moves by the action. The stage of the task is kept, never observed."""

    can_restore = True

    def __init__(self, num_envs: int, action: ActionSpec) -> None:
        self.action, self.horizon = action, HORIZON
        self._allocate(num_envs, 1)
        self._x, self._stage, self._t = torch.zeros(num_envs), torch.zeros(num_envs), torch.zeros(num_envs)

    def reset(self, ids: np.ndarray, seeds: np.ndarray) -> None:
        for row, seed in zip(ids.tolist(), seeds.tolist(), strict=True):
            self._x[row] = float(np.random.default_rng(seed).uniform(-0.2, 0.2))
        self._stage[ids], self._t[ids] = 0.0, 0.0
        self.truncated[ids] = False
        self.obs[:, 0] = self._x

    def step(self, action: Tensor) -> None:
        self._x.add_(STRIDE * action[:, 0]).clamp_(-1.0, 1.0)
        arrived = torch.where(self._stage == 1, self._x > B, self._x < A) & (self._stage < STAGES)
        self._stage += arrived
        self._t += 1
        self.truncated[:] = self._t >= HORIZON
        self.obs[:, 0] = self._x

    def fields(self) -> dict[str, Tensor]:
        return {"position": self._x, "stage": self._stage}

    def featurize(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in fields.items()}

    def render(self, id: int = 0, *, size: int = 256) -> np.ndarray:
        return np.zeros((size, size, 3), np.uint8)

    def get_state(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        return {name: value[ids].numpy() for name, value in self._state().items()}

    def set_state(self, ids: np.ndarray, state: Mapping[str, np.ndarray]) -> None:
        for name, value in self._state().items():
            value[ids] = torch.from_numpy(state[name])
        self.obs[:, 0] = self._x

    def _state(self) -> dict[str, Tensor]:
        return {"x": self._x, "stage": self._stage, "t": self._t}


class LineEnvironment(Environment):
    def __init__(self) -> None:
        self.spec, self.name, self.about = EnvSpec(name="line"), "line", "a point on a line with two places"
        features = (
            FeatureSpec(name="position", low=-1.0, high=1.0),
            FeatureSpec(name="stage", low=0.0, high=3.0),
        )
        action = ActionSpec(kind="continuous", shape=(1,), low=(-1.0,), high=(1.0,))
        self.interface = RewardInterface(features=features, action=action)
        self.horizon, self.tasks, self.reference_rewards = HORIZON, {}, {}
        self.training = TrainingDefaults()

    def make_world(self, num_envs: int, *, threads: int = 1) -> LineWorld:
        return LineWorld(num_envs, self.interface.action)

    def metric(self, task: str | None = None) -> Metric:
        return PackMetric(
            lambda features, previous: {"stage": features["stage"]},
            lambda sums, last: (last["stage"] / STAGES, last["stage"] >= STAGES),
            "A, B and A again were visited in this order",
        )


def main() -> None:
    args = options(__doc__ or "")
    seeds = range(1 if args.quick else 5)
    ppo = PpoConfig(
        env_steps=100_000, num_envs=16, rollout_steps=80, minibatch_size=320, learning_rate=1e-3, entropy_coef=0.01,
        hidden=(64, 64), evaluations=3, eval_episodes=64,
    )  # fmt: skip
    environment, figures = LineEnvironment(), Figures()
    with reward_jail() as jail:
        compiled = {
            name: compile_reward(code, environment.interface, jail).program
            for name, code in (("seeing", SEEING), ("blind", BLIND))
        }
    programs = {name: program for name, program in compiled.items() if program is not None}
    with tempfile.TemporaryDirectory() as folder:
        graphs = {name: Path(folder) / f"{name}.json" for name in programs}
        for name, program in programs.items():
            graphs[name].write_text(program.to_json())
        job = TrainJob(
            env=environment.spec,
            goal=Goal(kind="native"),
            members=tuple(Member(name, seed) for name in programs for seed in seeds),
            programs={name: str(path) for name, path in graphs.items()},
            out=folder,
            ppo=ppo,
        )
        results = run_train_job(job, environment=environment, metric=environment.metric())
    for name, about in (("seeing", "memory in the policy's input"), ("blind", "the same reward, memory hidden")):
        scores = [r.curve[-1].success for r in results if r.candidate == name]
        figures.add(f"memory.{name}.success", float(np.mean(scores)), "", f"A-B-A, {about}, seeds: {len(scores)}")
        figures.add(f"memory.{name}.worst", min(scores), "", "its worst seed")
    figures.write(args.json)


if __name__ == "__main__":
    main()
