"""The clean evaluator: how good policies are at the goal. It knows weights, environment, metric and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewardsmith.engine import alive
from rewardsmith.envs import Environment, Metric, VecWorld, score_episodes
from rewardsmith.errors import EnvironmentFault, RunError
from rewardsmith.reward.graph import parse_graph
from rewardsmith.reward.program import RewardProgram
from rewardsmith.train.policy import Policy, PolicyStack, shape_key
from rewardsmith.train.recorder import FieldRecorder, Transitions, featurize_rows
from rewardsmith.train.rewards import MemoryTrack, Program
from rewardsmith.train.seeding import evaluation_seeds

_CHUNK = 128  # steps between two calls of the metric, a multiple of recorder.ROW_MULTIPLE


class Trajectory(NamedTuple):
    """One recorded episode of L steps. States are L + 1: before every step, and the final one."""

    seed: int  # reset seed; with `action` it replays the episode exactly
    fields: dict[str, Tensor]  # raw state, each (L + 1, ...)
    features: dict[str, Tensor]  # named features, each (L + 1, ...)
    action: Tensor  # (L, ...)
    terminated: bool


class EpisodeScores(NamedTuple):
    """One policy's episodes. Higher fitness is better; success is in [0, 1]."""

    fitness: np.ndarray  # (E,)
    success: np.ndarray  # (E,)
    length: np.ndarray  # (E,) int64, steps
    broken: int = 0  # episodes that ended because the simulation broke down, see `VecWorld.diverged`
    trajectories: tuple[Trajectory, ...] = ()

    @property
    def env_steps(self) -> int:
        """What the evaluation cost."""
        return int(self.length.sum())


def evaluate(
    env: Environment,
    metric: Metric,
    policies: Sequence[Policy],
    *,
    episodes: int,
    seed: int,
    record: bool = False,
    world: VecWorld | None = None,
    load_program: Callable[[str], Program] | None = None,
) -> list[EpisodeScores]:
    """Run every policy deterministically for the same `episodes` seeds, whole episodes.

    Args:
        seed: root of the episodes' common seeds.
        record: keep the trajectories (for videos and analysis; memory grows with their length).
        world: one to use again, `len(policies) * episodes` rows, for policies of one shape; else one is made.
        load_program: for policies that see a reward's memory: turns its graph JSON into the program.

    Raises: EnvironmentFault: the environment raised, or the metric gave a number that is not finite.
    """
    results: dict[int, EpisodeScores] = {}
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, policy in enumerate(policies):
        groups.setdefault(shape_key(policy), []).append(i)
    load = load_program or (lambda text: RewardProgram.from_graph(parse_graph(text, env.interface)))
    for indices in groups.values():
        rows = len(indices) * episodes
        used = world if world is not None and world.num_envs == rows else env.make_world(rows)
        try:
            chosen = [policies[i] for i in indices]
            require_fit(chosen[0], used, env.name)
            memory = None
            if chosen[0].info.memory_width:
                starts = range(0, rows, episodes)
                spans = [(load(p.info.memory_graph), at, at + episodes) for p, at in zip(chosen, starts, strict=True)]
                memory = MemoryTrack(spans, rows, used.device)
            run = _Evaluation(
                used, metric, PolicyStack(chosen, device=used.device), memory, evaluation_seeds(seed, episodes), record
            )
            results |= dict(zip(indices, run(), strict=True))
        finally:
            if used is not world:
                used.close()
    return [results[i] for i in range(len(policies))]


def require_fit(policy: Policy, world: VecWorld, name: str) -> None:
    """Raises: RunError: the policy sees or does something else than there is in this world."""
    made = (policy.info.obs_dim, policy.info.action.kind, policy.info.action.shape)
    here = (world.obs_dim, world.action.kind, world.action.shape)
    if made != here:
        raise RunError(
            f"the policy was trained for observations and actions {made}, and {name} has {here}",
            hint="evaluate it with the environment it was trained in",
        )


class _Part(NamedTuple):
    """One recorded chunk; every tensor starts with (steps, rows)."""

    fields: Transitions
    features: Transitions
    action: Tensor


class _Evaluation:
    """One episode in every row of a world."""

    def __init__(
        self,
        world: VecWorld,
        metric: Metric,
        stack: PolicyStack,
        memory: MemoryTrack | None,
        seeds: np.ndarray,
        record: bool,
    ) -> None:
        self._world, self._metric, self._stack, self._memory = world, metric, stack, memory
        self._record, self._members, self._episodes = record, stack.members, len(seeds)
        self._seeds = np.tile(seeds, stack.members)
        rows = world.num_envs
        self._rows = rows
        self._recorder = FieldRecorder(_CHUNK, rows)
        self._running = torch.ones(rows, dtype=torch.bool, device=world.device)
        self._broken = torch.zeros_like(self._running)  # rows whose simulation broke down in their episode
        self._quantities: list[dict[str, Tensor]] = []  # of the metric, each (steps, rows), one entry a chunk
        self._parts: list[_Part] = []
        self._ended = np.full(rows, -1)  # step in which a row's episode ended
        self._terminated = np.zeros(rows, bool)

    def __call__(self) -> list[EpisodeScores]:
        with torch.no_grad():
            self._reset(np.arange(self._rows))
            start = 0
            while bool(self._running.any()):
                if start > self._world.horizon:
                    raise EnvironmentFault(f"episodes go on after their horizon of {self._world.horizon} steps")
                self._run_chunk(start)
                start += _CHUNK
        quantities = {k: torch.cat([q[k] for q in self._quantities]) for k in self._quantities[0]}
        return [self._score(i, quantities) for i in range(self._members)]

    def _score(self, member: int, quantities: dict[str, Tensor]) -> EpisodeScores:
        """Judge one member's episodes; `quantities` are (steps, rows)."""
        rows = range(member * self._episodes, (member + 1) * self._episodes)
        lengths = [int(self._ended[row]) + 1 for row in rows]
        laid_out = {k: torch.cat([v[:n, r] for r, n in zip(rows, lengths, strict=True)]) for k, v in quantities.items()}
        fitness, success = score_episodes(self._metric, laid_out, torch.tensor(lengths, device=self._world.device))
        scores = EpisodeScores(
            fitness=fitness.numpy(force=True),
            success=success.numpy(force=True),
            length=np.array(lengths),
            broken=int(self._broken[rows.start : rows.stop].sum()),
            trajectories=self._cut(member),
        )
        if not (np.isfinite(scores.fitness).all() and np.isfinite(scores.success).all()):
            raise EnvironmentFault(
                "the metric gave a fitness or success that is not finite",
                hint="correct the metric, or the reward of the environment that it sums: each episode needs a number",
            )
        return scores

    def _reset(self, ids: np.ndarray) -> None:
        try:
            self._world.reset(ids, self._seeds[ids])
        except Exception as error:  # a boundary: whatever an environment raises
            raise EnvironmentFault(f"the environment failed in a reset: {type(error).__name__}: {error}") from error

    def _run_chunk(self, start: int) -> None:
        """Step every row `_CHUNK` times, or until all are done; then measure."""
        world, actions, native, terminated, done, infos = self._world, [], [], [], [], []
        self._recorder.start()
        running = self._running.clone()
        before = featurize_rows(world, world.fields()) if self._memory else {}
        for t in range(_CHUNK):
            self._recorder.record(t, world.fields())
            action = self._stack.act(world.obs, self._memory.flat if self._memory else None)
            try:
                world.step(action)
            except Exception as error:  # a boundary, as in `_reset`
                raise EnvironmentFault(f"the environment failed in a step: {type(error).__name__}: {error}") from error
            alive()
            actions.append(action)
            native.append(world.native_reward.clone())
            terminated.append(world.terminated.clone())
            infos.append({k: v.clone() for k, v in world.info.items()})
            over = world.terminated | world.truncated
            done.append(over & running)
            self._broken |= world.diverged & running
            running = running & ~over
            if self._memory:
                after = featurize_rows(world, world.fields())
                self._memory.step(before, action, after, world.terminated)
                before = after
            ids = world.ended()
            if len(ids):
                self._recorder.record_final(t, torch.from_numpy(ids).to(world.device), world.fields())
                self._reset(ids)  # also rows that are through: a done row must not be stepped on
                if self._memory:
                    self._memory.reset(ids)
                    before = featurize_rows(world, world.fields())
            if not bool(running.any()):
                break
        for t in range(len(actions), _CHUNK + 1):
            self._recorder.record(t, world.fields())  # the rest of the buffer: real states that nobody reads
        transitions = self._recorder.transitions(world)
        self._measure(start, transitions, actions, native, terminated, done, infos)
        if self._record:
            raw = Transitions(*({k: v.clone() for k, v in part.items()} for part in self._recorder.raw()))
            self._parts.append(_Part(raw, transitions, torch.stack(actions)))
        self._running = running

    def _measure(
        self,
        start: int,
        transitions: Transitions,
        actions: list[Tensor],
        native: list[Tensor],
        terminated: list[Tensor],
        done: list[Tensor],
        infos: list[dict[str, Tensor]],
    ) -> None:
        """Feed the chunk's steps to the metric, and note which episodes ended in it."""
        steps = len(actions)
        whole = lambda rows: torch.stack([*rows, *rows[-1:] * (_CHUNK - steps)]).flatten(0, 1)
        info = {k: whole([i[k] for i in infos]) for k in infos[0]}
        quantities = self._metric.step(
            {k: v.flatten(0, 1) for k, v in transitions.after.items()},
            {k: v.flatten(0, 1) for k, v in transitions.before.items()},
            action=whole(actions),
            native_reward=whole(native),
            terminated=whole(terminated),
            info=info,
        )
        self._quantities.append({k: v.view(_CHUNK, self._rows)[:steps] for k, v in quantities.items()})
        for t in range(steps):
            rows = torch.nonzero(done[t])[:, 0].numpy(force=True)
            self._ended[rows] = start + t
            self._terminated[rows] = terminated[t].numpy(force=True)[rows]

    def _cut(self, member: int) -> tuple[Trajectory, ...]:
        """The member's trajectories from the recorded chunks."""
        if not self._record:
            return ()
        found = []
        for row in range(member * self._episodes, (member + 1) * self._episodes):
            steps = int(self._ended[row]) + 1
            found.append(
                Trajectory(
                    seed=int(self._seeds[row]),
                    fields=_states([p.fields for p in self._parts], row, steps),
                    features=_states([p.features for p in self._parts], row, steps),
                    action=torch.cat([p.action[:, row] for p in self._parts])[:steps],
                    terminated=bool(self._terminated[row]),
                )
            )
        return tuple(found)


def _states(parts: Sequence[Transitions], row: int, steps: int) -> dict[str, Tensor]:
    """The `steps` + 1 states of a row's first episode, by name."""
    states = {}
    for name in parts[0].before:
        before = torch.cat([p.before[name][:, row] for p in parts])[:steps]
        after = torch.cat([p.after[name][:, row] for p in parts])[steps - 1 : steps]
        states[name] = torch.cat([before, after])
    return states
