"""The preset `sb3` against Stable-Baselines3's own PPO: same rollouts, same minibatches, same weights afterwards.

Our population acts; Stable-Baselines3 relives its episodes through its own `DummyVecEnv`, `collect_rollouts` and
`train`, starts from the same weights and shuffles in the same order. So advantages, truncation bootstraps, the loss
with all its coefficients, the gradient clip, Adam and its epsilon are compared to float32 rounding.

What differs, and is therefore not compared here:
- An incomplete last minibatch of an epoch is left out here and learned on there. The preset's batches have none.
- With `anneal`, the learning rate of an iteration is that of its start here and of its end there (whose last
  iteration learns nothing); the test gives Stable-Baselines3 our schedule.
- The observation normalizer is frozen during a rollout here (the first rollout is only clipped); `VecNormalize` takes
  in every step before it normalizes it. After the same rows both hold the same statistics, but for its prior of
  weight 1e-4.
- Rewards are scaled here by statistics that include their whole rollout, there by those up to their step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from rewardsmith.train import PpoConfig, ppo
from rewardsmith.train.network import Layer
from rewardsmith.train.normalize import ObsNormalizer, RewardScale
from rewardsmith.train.ppo import PopulationPPO
from rewardsmith.train.seeding import generator
from rewardsmith.train.update import Batch
from rewardsmith.types import ActionSpec, Member
from tests.helpers.tiny_world import CONTINUOUS, DISCRETE, MULTI, GoNear, Output, PointWorld

pytest.importorskip("stable_baselines3", reason="the extra sb3 is not installed")

from stable_baselines3 import PPO
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

MEMBER, ROOT = Member("a", 3), 5
RAW = {"normalize_obs": False, "normalize_reward": "off"}  # what VecNormalize does is compared apart from PPO
PRESET = PpoConfig(preset="sb3", env_steps=2048, **RAW)
UNUSUAL = PpoConfig(
    preset="sb3",
    env_steps=2 * 4 * 64,
    num_envs=4,
    rollout_steps=64,
    minibatch_size=32,
    epochs=4,
    learning_rate=1e-3,
    anneal=True,
    gamma=0.9,
    gae_lambda=0.8,
    clip=0.05,
    value_coef=0.7,
    entropy_coef=0.03,
    max_grad_norm=0.1,
    hidden=(32, 96),
    **RAW,
)


class Episodes(NamedTuple):
    """T steps of N environments. `before` and `after` differ where an episode ended: the next one starts between."""

    before: np.ndarray  # (T + 1, N, obs_dim) float32
    after: np.ndarray  # (T, N, obs_dim) float32
    action: np.ndarray  # (T, N, ...), as applied
    raw: np.ndarray  # (T, N, action_width), as sampled
    reward: np.ndarray  # (T, N) float32
    terminated: np.ndarray  # (T, N) bool
    truncated: np.ndarray  # (T, N) bool


# --- ours ----------------------------------------------------------------------------------------------------------


class WatchedWorld(PointWorld):
    """Keeps what it showed and was told."""

    def __init__(self, num_envs: int, action: ActionSpec) -> None:
        super().__init__(num_envs, action)
        self.seen: list[dict[str, Tensor]] = []

    def step(self, action: Tensor) -> None:
        before = self.obs.clone()
        super().step(action)
        shown = {"after": self.obs, "action": action, "terminated": self.terminated, "truncated": self.truncated}
        self.seen.append({"before": before} | {name: value.clone() for name, value in shown.items()})


class WatchedReward(GoNear):
    """Keeps what it paid."""

    def __init__(self) -> None:
        super().__init__()
        self.paid: list[Tensor] = []

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        out = super().__call__(obs, action, next_obs)
        self.paid.append(out.total)
        return out


class Ours(NamedTuple):
    population: PopulationPPO
    started: list[Tensor]  # weights before the first iteration
    episodes: Episodes
    batch: Batch  # of the last iteration


def train_ours(action: ActionSpec, config: PpoConfig, monkeypatch: pytest.MonkeyPatch) -> Ours:
    """The whole training of one member, watched."""
    batches: list[Batch] = []

    def learn(net: Any, head: Any, adam: Any, batch: Batch, *rest: Any, **options: Any) -> None:
        batches.append(Batch(*(v.clone() for v in batch)))
        real(net, head, adam, batch, *rest, **options)

    real = ppo.learn
    monkeypatch.setattr(ppo, "learn", learn)
    world, program = WatchedWorld(config.num_envs, action), WatchedReward()
    population = PopulationPPO(world, config, [MEMBER], {MEMBER.candidate: program}, root=ROOT)
    started = weights_of_ours(population)
    population.restart_episodes()
    for _ in range(config.iterations):
        population.iterate()
    seen = {name: torch.stack([step[name] for step in world.seen]).numpy() for name in world.seen[0]}
    seen["before"] = np.concatenate([seen["before"], world.obs.numpy()[None]])
    shape = (config.rollout_steps, config.num_envs)
    raw = [batch.raw[0].view(*shape, -1) for batch in batches]
    reward = [paid[: config.batch].view(shape) for paid in program.paid]
    episodes = Episodes(**seen, raw=torch.cat(raw).numpy(), reward=torch.cat(reward).numpy())
    return Ours(population, started, episodes, batches[-1])


def weights_of_ours(population: PopulationPPO) -> list[Tensor]:
    """Weight and bias of every layer without padding, policy first; the log deviation last, where there is one."""
    net = population.net

    def cut(layers: list[Layer], last: int) -> Iterator[Tensor]:
        for i, layer in enumerate(layers):
            rows = last if i == net.depth - 1 else layer.weight.shape[1]
            columns = population.world.obs_dim if i == 0 else layer.weight.shape[2]
            yield layer.weight[0, :rows, :columns].clone()
            yield layer.bias[0, :rows, 0].clone()

    log_std = [net.log_std[0, 0].clone()] if net.log_std is not None else []
    return [*cut(net.policy_layers, population.head.width), *cut(net.value_layers, 1), *log_std]


# --- Stable-Baselines3 ---------------------------------------------------------------------------------------------


class Relived(gym.Env):
    """Row `row` of recorded episodes; whoever acts otherwise than was recorded is told."""

    def __init__(self, episodes: Episodes, row: int, action_space: spaces.Space) -> None:
        self._episodes, self._row, self._t = episodes, row, 0
        self.observation_space = spaces.Box(-np.inf, np.inf, episodes.before.shape[2:], np.float32)
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        return self._episodes.before[self._t, self._row], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        e, at = self._episodes, (self._t, self._row)
        np.testing.assert_array_equal(action, e.action[at])
        self._t += 1
        return e.after[at], float(e.reward[at]), bool(e.terminated[at]), bool(e.truncated[at]), {}


def relive(episodes: Episodes, action: ActionSpec) -> DummyVecEnv:
    space: spaces.Space
    if action.kind == "continuous":
        space = spaces.Box(np.array(action.low, np.float32), np.array(action.high, np.float32))
    else:
        space = spaces.Discrete(action.n) if action.n else spaces.MultiDiscrete(list(action.nvec or ()))
    rows = range(episodes.before.shape[1])
    return DummyVecEnv([lambda row=row: Relived(episodes, row, space) for row in rows])


def act_as_recorded(model: PPO, episodes: Episodes, action: ActionSpec) -> None:
    """Instead of sampling, the policy takes the recorded actions, which it judges by its own weights."""
    steps = iter(torch.from_numpy(episodes.raw))

    def forward(obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        taken = next(steps)
        if action.kind != "continuous":
            taken = taken.long()[:, 0] if action.kind == "discrete" else taken.long()
        values, log_prob, _ = model.policy.evaluate_actions(obs, taken)
        return taken, values, log_prob

    model.policy.forward = forward


def shuffle_as_ours(config: PpoConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """`RolloutBuffer.get` draws our orders; its rows go environment by environment, ours step by step."""

    def orders() -> Iterator[np.ndarray]:
        for iteration in itertools.count():
            rng = generator(ROOT, MEMBER.seed, "shuffle", iteration)
            for _ in range(config.epochs):
                step, row = np.divmod(rng.permutation(config.batch), config.num_envs)
                yield row * config.rollout_steps + step

    drawn = orders()
    monkeypatch.setattr(np.random, "permutation", lambda rows: next(drawn))


def parameters_of_sb3(model: PPO) -> list[Tensor]:
    """In the order of `weights_of_ours`."""
    policy = model.policy
    modules = [*policy.mlp_extractor.policy_net, policy.action_net, *policy.mlp_extractor.value_net, policy.value_net]
    linear = [m for m in modules if isinstance(m, torch.nn.Linear)]
    log_std = [policy.log_std] if hasattr(policy, "log_std") else []
    return [*itertools.chain.from_iterable((m.weight, m.bias) for m in linear), *log_std]


def settings_for_sb3(config: PpoConfig) -> dict[str, Any]:
    """Nothing for the preset: it has to be Stable-Baselines3's own defaults."""
    if config is PRESET:
        return {}
    first = 1 / config.iterations  # that much of the budget is used up when Stable-Baselines3 learns first
    return {
        "learning_rate": lambda remaining: config.learning_rate * (remaining + first),
        "n_steps": config.rollout_steps,
        "batch_size": config.minibatch_size,
        "n_epochs": config.epochs,
        "gamma": config.gamma,
        "gae_lambda": config.gae_lambda,
        "clip_range": config.clip,
        "ent_coef": config.entropy_coef,
        "vf_coef": config.value_coef,
        "max_grad_norm": config.max_grad_norm,
        "policy_kwargs": {"net_arch": list(config.hidden)},
    }


# --- the comparisons -----------------------------------------------------------------------------------------------


CASES = [(PRESET, CONTINUOUS), (PRESET, DISCRETE), (UNUSUAL, CONTINUOUS), (UNUSUAL, DISCRETE), (UNUSUAL, MULTI)]


@pytest.mark.parametrize(
    ("config", "action"), CASES, ids=[f"{'preset' if c is PRESET else 'unusual'}-{a.kind}" for c, a in CASES]
)
def test_trainings_end_with_the_same_weights(
    config: PpoConfig, action: ActionSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To 1e-6, of weights up to 1 that move by 2e-3 to 0.2 in 320 (preset) or 64 gradient steps: a few ulps."""
    ours = train_ours(action, config, monkeypatch)
    assert ours.episodes.terminated.any() and ours.episodes.truncated.any()
    model = PPO("MlpPolicy", relive(ours.episodes, action), seed=0, device="cpu", **settings_for_sb3(config))
    with torch.no_grad():
        for parameter, value in zip(parameters_of_sb3(model), ours.started, strict=True):
            parameter.copy_(value)
    act_as_recorded(model, ours.episodes, action)
    shuffle_as_ours(config, monkeypatch)
    model.learn(config.iterations * config.batch)

    for got, wanted in (
        (ours.batch.advantage, model.rollout_buffer.advantages),
        (ours.batch.target, model.rollout_buffer.returns),
    ):
        by_step = torch.from_numpy(wanted.reshape(config.num_envs, config.rollout_steps).T.reshape(-1))
        torch.testing.assert_close(got[0], by_step, rtol=0, atol=1e-6 * float(by_step.abs().max()))
    ended = [parameter.detach() for parameter in parameters_of_sb3(model)]
    for got, wanted, before in zip(weights_of_ours(ours.population), ended, ours.started, strict=True):
        assert (wanted - before).abs().max() > 1e-3
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-6)


def test_weights_start_from_the_same_distribution() -> None:
    """Orthogonal matrices have no other parameter than their gain, which is what their singular values are."""
    world = PointWorld(1, CONTINUOUS)
    population = PopulationPPO(world, PRESET, [MEMBER], {MEMBER.candidate: GoNear()}, root=ROOT)
    blank = np.zeros((2, 1, world.obs_dim), np.float32)
    model = PPO("MlpPolicy", relive(Episodes(blank, *[blank] * 6), CONTINUOUS), seed=0, device="cpu")
    for got, wanted in zip(weights_of_ours(population), parameters_of_sb3(model), strict=True):
        assert got.shape == wanted.shape
        if got.ndim == 2:
            got, wanted = torch.linalg.svdvals(got), torch.linalg.svdvals(wanted.detach())
        torch.testing.assert_close(got, wanted.detach(), rtol=1e-5, atol=1e-7)


ROLLOUTS, STEPS, ROWS = 3, 50, 4


@pytest.fixture
def noisy_episodes() -> Episodes:
    """Three rollouts whose rewards and observations drift, with an outlier that must be clipped."""
    rng, steps = np.random.default_rng(0), ROLLOUTS * STEPS
    obs = rng.normal([3.0, -1.0, 100.0], [2.0, 0.5, 30.0], (steps + 1, ROWS, 3)).astype(np.float32)
    obs[-3, 0, 0] = 1e3
    reward = (5 + rng.normal(size=(steps, ROWS)) * np.linspace(1, 9, steps)[:, None]).astype(np.float32)
    terminated, truncated = rng.random((2, steps, ROWS)) < 0.05
    last = np.where((terminated | truncated)[..., None], np.float32(77), obs[1:])  # neither normalizer learns from it
    action = np.zeros((steps, ROWS, 1), np.float32)
    return Episodes(obs, last, action, action, reward, terminated, truncated & ~terminated)


def test_reward_scale_ends_every_rollout_where_vecnormalize_does(noisy_episodes: Episodes) -> None:
    """Statistics and running returns to float64 rounding; so does the scaled reward of the rollout's last step."""
    e, gamma = noisy_episodes, 0.97
    scale = RewardScale(1, ROWS, gamma, scale_free=False, device="cpu")
    world = VecNormalize(relive(e, CONTINUOUS), gamma=gamma)
    world.reset()
    for rollout in range(ROLLOUTS):
        span = slice(rollout * STEPS, (rollout + 1) * STEPS)
        theirs = np.stack([world.step(action)[1] for action in e.action[span]])
        done = torch.from_numpy((e.terminated | e.truncated)[span])
        scaled = scale(torch.from_numpy(e.reward[span])[:, None], done[:, None])[:, 0].numpy()
        for got, wanted in (
            (scale.mean, world.ret_rms.mean),
            (scale.var, world.ret_rms.var),
            (scale.count, world.ret_rms.count),
            (scale.returns[0], world.returns),
        ):
            np.testing.assert_allclose(got.numpy().squeeze(), wanted, rtol=1e-9)
        np.testing.assert_allclose(scaled[-1], theirs[-1], rtol=1e-6)
        np.testing.assert_allclose(scaled, world.normalize_reward(e.reward[span]), rtol=1e-6)


def test_observation_normalizer_is_vecnormalizes_after_the_same_rows(noisy_episodes: Episodes) -> None:
    """VecNormalize has then seen the first observations and those after all steps but the last."""
    e = noisy_episodes
    normalizer = ObsNormalizer(1, 3, "cpu")
    for rollout in range(ROLLOUTS):
        rows = e.before[rollout * STEPS : (rollout + 1) * STEPS]
        normalizer.update(torch.from_numpy(rows).reshape(1, -1, 3))
    world: Any = VecNormalize(relive(e, CONTINUOUS))
    world.reset()
    for action in e.action[:-1]:
        world.step(action)
    rms = RunningMeanStd(shape=(3,))  # its prior has weight 1e-4; ours has none
    rms.update_from_moments(normalizer.mean[0, 0].numpy(), normalizer.var[0, 0].numpy(), float(normalizer.count))
    np.testing.assert_allclose(rms.mean, world.obs_rms.mean, rtol=1e-6)  # it averages each step in float32
    np.testing.assert_allclose(rms.var, world.obs_rms.var, rtol=1e-6)
    every = e.before.reshape(-1, 3)
    wanted = world.normalize_obs(every)
    assert wanted.max() == 10.0
    np.testing.assert_allclose(normalizer(torch.from_numpy(every)[None])[0].numpy(), wanted, rtol=1e-5, atol=1e-5)
