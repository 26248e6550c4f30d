"""Population PPO: P members trained in lockstep, each as if it were alone.

Nothing crosses members: own environments, weights, advantages, normalizers, gradient clip, learning rate and random
streams. The rollout loop does only: normalize, policy, add pre-drawn noise, step, record; values, log-probabilities,
rewards and advantages are computed for the whole rollout afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from rewardsmith.envs import VecWorld
from rewardsmith.train.acting import Actor
from rewardsmith.train.config import PpoConfig
from rewardsmith.train.heads import make_head
from rewardsmith.train.network import ActorCritic, padded
from rewardsmith.train.normalize import ObsNormalizer, RewardScale
from rewardsmith.train.policy import Policy, PolicyInfo
from rewardsmith.train.recorder import FieldRecorder, featurize_rows
from rewardsmith.train.rewards import (
    MemoryTrack,
    Paid,
    Program,
    RolloutRewards,
    blocks_of,
    memory_width,
    rollout_rewards,
    stack_paid,
)
from rewardsmith.train.seeding import EpisodeSeeds, generator
from rewardsmith.train.update import Adam, Batch, advantages, learn
from rewardsmith.types import EnvSpec, Member

_BOOTSTRAP_ROWS = 64  # truncated states are valued in blocks of a fixed size, so that neighbours do not change it


class Failure(NamedTuple):
    state: str  # crashed_reward, crashed_env or diverged
    error: str


class LastRollout(NamedTuple):
    """What members were paid in the last rollout: information for curves, never for selection."""

    reward: list[float]  # per member, mean per step
    components: list[dict[str, float]]


class _Slot(NamedTuple):
    """Views of the buffers of a rollout at one step."""

    x_by_member: Tensor  # (P, N, inputs)
    raw_by_member: Tensor  # (P, N, action_width)
    raw: Tensor  # (B, action_width)
    terminated: Tensor  # (B,)
    truncated: Tensor  # (B,)


class WorldBroke(Exception):
    """The world raised while all members stepped in it; which of them is to blame is not known."""


class PopulationPPO:
    """The members of one shard, all with the same input width.

    Args:
        world: `len(members) * config.num_envs` rows; member i owns rows i * num_envs to (i + 1) * num_envs.
        members: members of one candidate must stand together.
        programs: reward program by candidate.
        root: root of all random streams.
    """

    def __init__(
        self,
        world: VecWorld,
        config: PpoConfig,
        members: Sequence[Member],
        programs: Mapping[str, Program],
        *,
        root: int,
    ) -> None:
        self.world, self.config, self.members, self._root = world, config, list(members), root
        self.device = world.device
        world.measures_native = False
        self.iteration = 0
        self.failures: dict[int, Failure] = {}
        self.last = LastRollout([0.0] * len(members), [{} for _ in members])
        self._count, self._rows = len(members), len(members) * config.num_envs
        if world.num_envs != self._rows:
            raise ValueError(f"{len(members)} members need {self._rows} rows, the world has {world.num_envs}")
        self._stacked = max(2, self._count)  # a single member is paired with a twin, see ActorCritic
        self._blocks = blocks_of(members, programs)
        self._memory_width = memory_width(self._blocks[0].program)
        self._used = world.obs_dim + self._memory_width
        self._inputs = padded(self._used)
        self.head = make_head(world.action, rescale=config.rescale_actions, device=self.device)
        self.net = ActorCritic(
            self._stacked,
            self._inputs,
            padded(self.head.width),
            config.hidden,
            log_std=self.head.log_std_width,
            activation=config.activation,
            device=self.device,
        )
        for i in range(self._stacked):
            rng = generator(root, self.members[i % self._count].seed, "init")
            self.net.initialize(i, rng, inputs=self._used, outputs=self.head.width)
        self.adam = Adam(self.net, config)
        self.normalizer = ObsNormalizer(self._stacked, self._inputs, self.device)
        scale_free = config.normalize_reward == "scale_free"
        self.reward_scale = RewardScale(
            self._count, config.num_envs, config.gamma, scale_free=scale_free, device=self.device
        )
        self.seeds = EpisodeSeeds(root, [m.seed for m in members], config.num_envs)
        self._broken = torch.zeros(self._rows, dtype=torch.int64, device=self.device)  # episodes, see `VecWorld`
        self.memory: MemoryTrack | None = None
        if self._memory_width:
            n = config.num_envs
            spans = [(b.program, b.start * n, b.stop * n) for b in self._blocks]
            self.memory = MemoryTrack(spans, self._rows, self.device)
        steps, zeros = config.rollout_steps, partial(torch.zeros, device=self.device)
        self._recorder = FieldRecorder(steps, self._rows)
        self._x = zeros(steps + 1, self._rows, self._inputs)
        self._raw = zeros(steps, self._rows, self.head.action_width)
        self._terminated = zeros(steps, self._rows, dtype=torch.bool)
        self._truncated = torch.zeros_like(self._terminated)
        # Views are made once, because indexing costs as much as the copies themselves.
        self._observed = list(self._x[:, :, : world.obs_dim])
        self._remembered = list(self._x[:, :, world.obs_dim : self._used])
        by_member = lambda v: v.view(self._count, config.num_envs, -1)
        buffers = zip(self._x[:-1], self._raw, self._terminated, self._truncated, strict=True)
        self._slots = [
            _Slot(by_member(x), by_member(raw), raw, terminated, truncated) for x, raw, terminated, truncated in buffers
        ]
        self._finals: list[tuple[int, np.ndarray, Tensor]] = []  # step, rows, last inputs of ended episodes

    @property
    def env_steps(self) -> int:
        """Env steps taken by each member."""
        return self.iteration * self.config.batch

    @property
    def alive(self) -> list[int]:
        """Indices of the members that still train."""
        return [i for i in range(self._count) if i not in self.failures]

    def episodes(self, member: int) -> tuple[int, int]:
        """How many episodes a member began, and how many of them ended because the simulation broke down."""
        start, stop = self._span(member)
        return int(self.seeds.episodes[member].sum()), int(self._broken[start:stop].sum())

    def restart_episodes(self) -> None:
        """Begin new episodes everywhere (at the start, and at checkpoints of worlds that cannot save their state)."""
        self._reset(np.arange(self._rows))
        self.reward_scale.returns.zero_()

    def iterate(self) -> None:
        """One rollout and the updates on it. Members that fail are listed in `failures` and stay inert afterwards.

        Raises: WorldBroke: the world raised; the population is unusable, its members' checkpoints are not.
        """
        with torch.no_grad():
            paid = self._collect()
            self._learn(paid)
        self.iteration += 1

    # --- rollout ---------------------------------------------------------------------------------------------------

    def _collect(self) -> list[Paid | str] | None:
        world, steps = self.world, self.config.rollout_steps
        actor = self._actor()
        outputs_noise = self._draw_noise(actor.bias)
        paid: list[list[Paid | str]] = []
        self._recorder.start()
        self._finals.clear()
        before = featurize_rows(world, world.fields()) if self.memory else {}
        for t, slot in enumerate(self._slots):
            self._recorder.record(t, world.fields())
            self._observe(t)
            raw = self.head.mode(actor(self._twin(slot.x_by_member), outputs_noise[t]))
            slot.raw_by_member.copy_(raw[: self._count])
            action = self.head.applied(slot.raw)
            try:
                world.step(action)
            except Exception as error:  # a boundary: whatever an environment raises
                raise WorldBroke(f"{type(error).__name__}: {error}") from error
            slot.terminated.copy_(world.terminated)
            torch.gt(world.truncated, world.terminated, out=slot.truncated)  # an episode that terminated was not cut
            ended = world.ended()
            if self.memory:
                after = featurize_rows(world, world.fields())
                paid.append(self.memory.step(before, action, after, world.terminated))
                before = after
            if len(ended):
                done = torch.from_numpy(ended).to(self.device)
                self._broken += world.diverged
                self._recorder.record_final(t, done, world.fields())
                self._observe(t + 1)  # the last states; the next step writes over them
                self._finals.append((t, ended, self._x[t + 1][done]))
                self._reset(ended)
                if self.memory:
                    before = featurize_rows(world, world.fields())
        self._recorder.record(steps, world.fields())
        self._observe(steps)
        return stack_paid(paid) if self.memory else None

    def _actor(self) -> Actor:
        """The policies as they are now."""
        layers = [(layer.weight, layer.bias) for layer in self.net.policy_layers]
        normalizer = (self.normalizer.shift, self.normalizer.scale) if self.config.normalize_obs else None
        return Actor(layers, self.net.activation, normalizer)

    def _draw_noise(self, bias: Tensor) -> Tensor:
        """What the last layer adds (T, stacked, N, outputs): its `bias` and noise from each member's own stream."""
        c = self.config
        streams = [generator(self._root, m.seed, "noise", self.iteration) for m in self.members]
        drawn = [self.head.noise(rng, c.rollout_steps, c.num_envs) for rng in streams]
        noise = self._twin(torch.from_numpy(np.stack(drawn)).to(self.device)).transpose(0, 1)
        noise = self.head.scale_noise(noise, self.net.log_std)
        return bias + pad(noise, (0, bias.shape[-1] - noise.shape[-1]))

    def _observe(self, t: int) -> None:
        """Write the policy's raw input of every row into the buffer of step `t`."""
        self._observed[t].copy_(self.world.obs)
        if self.memory:
            self._remembered[t].copy_(self.memory.flat)

    def _reset(self, ids: np.ndarray) -> None:
        try:
            self.world.reset(ids, self.seeds.draw(ids))
        except Exception as error:  # a boundary, as in `_collect`
            raise WorldBroke(f"{type(error).__name__}: {error}") from error
        if self.memory:
            self.memory.reset(ids)

    def _normalized(self, x: Tensor) -> Tensor:
        return self.normalizer(x) if self.config.normalize_obs else x

    def _twin(self, x: Tensor) -> Tensor:
        """`x` (P, ...) with a copy of the only member, if there is only one."""
        return torch.cat([x, x]) if self._count == 1 else x

    # --- learning --------------------------------------------------------------------------------------------------

    def _learn(self, paid: list[Paid | str] | None) -> None:
        c, steps, count, n = self.config, self.config.rollout_steps, self._count, self.config.num_envs
        shape = (steps, count, n)
        # Finite only if every term is: no sum of float32 numbers overflows float64.
        seen = self._x.view(steps + 1, count, n, -1).sum((0, 2), dtype=torch.float64)  # (P, inputs)
        rewards = rollout_rewards(
            self._blocks,
            self._recorder.transitions(self.world),
            self.head.applied(self._raw),
            self._terminated,
            num_envs=n,
            gamma=c.gamma,
            paid=paid,
        )
        done = (self._terminated | self._truncated).view(shape)
        scaled = self.reward_scale(rewards.total, done) if c.normalize_reward != "off" else rewards.total

        everything = self._twin(self._x.view(steps + 1, count, n, -1).transpose(0, 1))
        x_all = self._normalized(everything.reshape(self._stacked, (steps + 1) * n, -1))
        values = self.net.value(x_all)[:count].view(count, steps + 1, n).transpose(0, 1).contiguous()
        bootstrap = torch.zeros(shape, device=self.device)
        self._value_truncated(bootstrap)
        advantage = advantages(scaled + c.gamma * bootstrap, values, done, gamma=c.gamma, gae_lambda=c.gae_lambda)

        x = x_all[:, : steps * n]
        flat = lambda v: self._twin(v.transpose(0, 1).reshape(count, steps * n, *v.shape[3:]))
        raw = flat(self._raw.view(*shape, -1))
        log_prob = self.head.choice(self.net.policy(x), self.net.log_std, raw).log_prob
        adv = flat(advantage)
        batch = Batch(x, raw, log_prob, adv, adv + flat(values[:-1]))
        progress = self.iteration / c.iterations
        streams = [generator(self._root, m.seed, "shuffle", self.iteration) for m in self.members]
        learn(self.net, self.head, self.adam, batch, c, streams, iteration=self.iteration, progress=progress)
        if c.normalize_obs:
            self.normalizer.update(everything[:, :-1].reshape(self._stacked, steps * n, -1))
        self._look(seen, rewards)

    def _look(self, seen: Tensor, rewards: RolloutRewards) -> None:
        """The one time in an iteration that the host waits for the device: who failed, and what members were paid.

        `seen`: sums of the policy's inputs, (P, inputs).
        """
        weights = self.net.flat[: self._count].sum(1, dtype=torch.float64)
        seen_sums, weight_sums, reward_sums, *component_sums = to_host(
            [seen, weights, rewards.sums, *(paid.sums for paid in rewards.paid)]
        )
        broken = ~np.isfinite(seen_sums)
        obs_dim, rows = self.world.obs_dim, self.config.batch
        components: list[dict[str, float]] = [{} for _ in self.members]
        for paid, sums in zip(rewards.paid, component_sums, strict=True):
            components[paid.block.start : paid.block.stop] = paid.means(sums)
        unpaid = ~np.isfinite(reward_sums)
        self.last = LastRollout(np.where(unpaid, 0.0, reward_sums / rows).tolist(), components)
        for i in range(self._count):
            if broken[i, :obs_dim].any():
                self._fail(i, "crashed_env", "the environment gave an observation not finite")
            if broken[i, obs_dim:].any():
                self._fail(i, "crashed_reward", "the reward's memory was not finite")
            if i in rewards.errors:
                self._fail(i, "crashed_reward", rewards.errors[i])
            if unpaid[i]:
                where = next(p.explain(i) for p in rewards.paid if p.block.start <= i < p.block.stop)
                self._fail(i, "crashed_reward", f"the reward was not finite ({where})")
            if not np.isfinite(weight_sums[i]):
                self._fail(i, "diverged", "the policy's weights are no longer finite")
        for i in self.failures:
            self._make_inert(i)

    def _value_truncated(self, bootstrap: Tensor) -> None:
        """Write the values of states in which episodes were cut off into `bootstrap` (T, P, N)."""
        if not self._finals:
            return
        t = np.repeat([step for step, _, _ in self._finals], [len(rows) for _, rows, _ in self._finals])
        rows = np.concatenate([rows for _, rows, _ in self._finals])
        member = rows // self.config.num_envs
        # The k-th ended episode of its member is the k-th row of the member's blocks.
        order = np.argsort(member, kind="stable")
        t, rows, member = t[order], rows[order], member[order]
        counts = np.bincount(member, minlength=self._count)
        place = np.arange(len(member)) - (counts.cumsum() - counts)[member]
        blocks = -(-int(counts.max()) // _BOOTSTRAP_ROWS)
        at = [torch.from_numpy(index).to(self.device) for index in (order, t, rows, member, place)]
        order, t, rows, member, place = at
        x = torch.zeros(self._count, blocks * _BOOTSTRAP_ROWS, self._inputs, device=self.device)
        x[member, place] = torch.cat([x for _, _, x in self._finals])[order]
        x = self._normalized(self._twin(x))
        values = torch.cat([self.net.value(part) for part in x.split(_BOOTSTRAP_ROWS, 1)], 1)
        cut = self._truncated[t, rows]
        bootstrap.view(len(bootstrap), -1)[t, rows] = torch.where(cut, values[member, place], 0.0)

    # --- failures --------------------------------------------------------------------------------------------------

    def _fail(self, member: int, state: str, error: str) -> None:
        self.failures.setdefault(member, Failure(state, error))

    def _make_inert(self, member: int) -> None:
        """Zero a failed member's numbers so that nothing overflows while its neighbours go on."""
        for i in {member, self._stacked - 1} if self._count == 1 else {member}:
            for tensor in (self.net.flat, self.adam.m, self.adam.v, self.normalizer.mean):
                tensor[i].zero_()
            self.normalizer.var[i].fill_(1)
        self.normalizer.refresh()
        for tensor in (self.reward_scale.mean, self.reward_scale.returns):
            tensor[member].zero_()
        self.reward_scale.var[member].fill_(1)

    # --- what leaves a population ----------------------------------------------------------------------------------

    def policy(self, member: int, env: EnvSpec, *, memory_graph: str = "") -> Policy:
        """A copy of one member's policy."""
        rows, columns = self._used, self.head.width
        weights = []
        for i, layer in enumerate(self.net.policy_layers):
            weight, bias = layer.weight[member].T, layer.bias[member].T
            if i == 0:
                weight = weight[:rows]
            if i == self.net.depth - 1:
                weight, bias = weight[:, :columns], bias[:, :columns]
            weights.append(tuple(v.clone(memory_format=torch.contiguous_format) for v in (weight, bias)))
        info = PolicyInfo(
            env=env,
            action=self.world.action,
            obs_dim=self.world.obs_dim,
            memory_width=self._memory_width,
            hidden=self.config.hidden,
            activation=self.config.activation,
            rescale_actions=self.config.rescale_actions,
            candidate=self.members[member].candidate,
            seed=self.members[member].seed,
            env_steps=self.env_steps,
            memory_graph=memory_graph,
        )
        if self.config.normalize_obs:
            mean, var = self.normalizer.mean[member, 0, :rows].clone(), self.normalizer.var[member, 0, :rows].clone()
        else:
            mean = torch.zeros(rows, dtype=torch.float64, device=self.device)
            var = torch.ones_like(mean)
        return Policy(info, tuple(weights), mean, var)

    def member_state(self, member: int) -> dict[str, np.ndarray]:
        """Everything a member needs to go on bit-exactly, as arrays by name."""
        tensors = {k: v[member] for k, v in self._member_tensors().items()}
        state = {k: v.numpy(force=True).copy() for k, v in tensors.items()}
        start, stop = self._span(member)
        state["episodes"] = self.seeds.episodes[member].copy()
        state["broken"] = self._broken[start:stop].numpy(force=True).copy()
        if self.world.can_restore:
            saved = self.world.get_state(np.arange(start, stop))
            state |= {f"world/{k}": v for k, v in saved.items()}
            if self.memory:
                state |= {f"memory/{k}": v for k, v in self.memory.get(start, stop).items()}
        return state

    def load_member(self, member: int, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `member_state` gave. Afterwards set `iteration`; restart episodes if the world cannot restore.

        Raises: KeyError, ValueError, RuntimeError: the state does not fit this population.
        """
        for name, tensor in self._member_tensors().items():
            tensor[member] = torch.from_numpy(state[name]).to(tensor)
            if self._count == 1 and len(tensor) == 2:
                tensor[1] = tensor[0]
        self.normalizer.refresh()
        start, stop = self._span(member)
        self.seeds.episodes[member] = state["episodes"]
        self._broken[start:stop] = torch.from_numpy(state["broken"]).to(self.device)
        if self.world.can_restore:
            world = {k.removeprefix("world/"): v for k, v in state.items() if k.startswith("world/")}
            self.world.set_state(np.arange(start, stop), world)
            if self.memory:
                memory = {k.removeprefix("memory/"): v for k, v in state.items() if k.startswith("memory/")}
                self.memory.set(start, stop, memory)

    def _member_tensors(self) -> dict[str, Tensor]:
        return {
            "weights": self.net.flat,
            "adam.m": self.adam.m,
            "adam.v": self.adam.v,
            "obs.mean": self.normalizer.mean,
            "obs.var": self.normalizer.var,
            "obs.count": self.normalizer.count,
            "reward.mean": self.reward_scale.mean,
            "reward.var": self.reward_scale.var,
            "reward.count": self.reward_scale.count,
            "reward.returns": self.reward_scale.returns,
        }

    def _span(self, member: int) -> tuple[int, int]:
        return member * self.config.num_envs, (member + 1) * self.config.num_envs


def to_host(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """The tensors' numbers as float64 arrays, for one wait for the device."""
    flat = torch.cat([t.reshape(-1).double() for t in tensors]).numpy(force=True)
    ends = np.cumsum([t.numel() for t in tensors])[:-1]
    return [part.reshape(t.shape) for part, t in zip(np.split(flat, ends), tensors, strict=True)]
