"""Stable-Baselines3 as the trainer: what it refuses, its policies as ours, and whole trainings through processes."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import rewardsmith
from rewardsmith.engine import LocalEngine
from rewardsmith.envs import resolve_env
from rewardsmith.errors import MissingExtra, RunError, UsageError
from rewardsmith.export import export_reward
from rewardsmith.loop.evaluation import evaluate_policies
from rewardsmith.loop.exporting import export_run
from rewardsmith.reward.compile import compile_reward, reward_jail
from rewardsmith.train import load_policy, read_metrics
from rewardsmith.train.policy import PolicyInfo
from rewardsmith.train.sb3 import ALGORITHMS, Sb3Config, train_with_sb3, try_out
from rewardsmith.train.sb3.config import algorithm_class, check_actions
from rewardsmith.types import ActionSpec, CandidateState, EnvSpec, Goal

pytest.importorskip("stable_baselines3", reason="the extra sb3 is not installed")

from rewardsmith.train.sb3.weights import finite, policy_of

BOX = ActionSpec(kind="continuous", shape=(2,), low=(-1.0, -3.0), high=(1.0, 5.0))
CHOICE = ActionSpec(kind="discrete", n=3)
CHOICES = ActionSpec(kind="multi_discrete", shape=(2,), nvec=(2, 4))


# --- what it refuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algo", "action", "says"),
    [
        ("sac", CHOICE, "sac cannot handle discrete actions.*ppo, a2c, dqn"),
        ("td3", CHOICES, "td3 cannot handle multi-discrete actions.*ppo, a2c"),
        ("dqn", BOX, "dqn cannot handle continuous actions.*ppo, a2c, sac, td3, ddpg"),
        ("ddpg", ActionSpec(kind="continuous", shape=(2,)), "without bounds"),
        ("sac", BOX.model_copy(update={"high": (1.0, math.inf)}), "without bounds"),
    ],
)
def test_actions_that_an_algorithm_cannot_handle(algo: str, action: ActionSpec, says: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){says}"):
        check_actions(algo, action)


@pytest.mark.parametrize("algo", ["ppo", "a2c"])
@pytest.mark.parametrize("action", [BOX, CHOICE, CHOICES, ActionSpec(kind="continuous", shape=(1,))])
def test_on_policy_algorithms_handle_all(algo: str, action: ActionSpec) -> None:
    check_actions(algo, action)


def test_settings_are_ours_the_environments_or_the_algorithms() -> None:
    hopper = resolve_env("hopper")
    config = Sb3Config.for_environment(hopper, "sac", env_steps=500, learning_rate=1e-3, train_freq=2)
    assert (config.env_steps, config.gamma) == (500, hopper.training.gamma)
    assert config.arguments == {"learning_rate": 1e-3, "train_freq": 2}
    assert not config.normalize_reward and Sb3Config.for_environment(hopper, "ppo").normalize_reward
    for algo, wrong, says in (
        ("sac", {"learning_rat": 1.0}, "learning_rate"),
        ("sac", {"device": "cuda"}, "unknown setting of sac"),
        ("sac", {"policy_kwargs": 1}, "unknown setting"),
        ("ppo", {"env_steps": -1}, "env_steps"),
        ("sacc", {}, "did you mean sac"),
    ):
        with pytest.raises(UsageError, match=says):
            Sb3Config.for_environment(hopper, algo, **wrong)


def test_wrong_arguments_show_before_anything_is_made(tmp_path: Path) -> None:
    for wrong in ({"learning_rate": "foo"}, {"learning_rate": -1.0}, {"n_steps": 1}):
        with pytest.raises(UsageError, match=f"ppo does not take {next(iter(wrong))}="):
            rewardsmith.train_reward("hopper", "human", trainer="sb3", training=wrong, runs=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("algo", "action"), [("ppo", BOX), ("a2c", CHOICES), ("dqn", CHOICE), ("sac", BOX)])
def test_right_arguments_pass_and_leave_the_random_numbers_alone(algo: str, action: ActionSpec) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    expected = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    arguments = {"n_steps": 1} if algo in ("ppo", "a2c") else {"batch_size": 8}
    try_out(Sb3Config(algo=algo, num_envs=2, arguments=arguments), action)
    try_out(Sb3Config(algo=algo), action)
    assert np.array_equal(np.random.get_state()[1], expected)  # type: ignore[arg-type]


def test_without_stable_baselines_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(MissingExtra, match=r"(?s)Stable-Baselines3 is not installed.*rewardsmith\[sb3\]"):
        rewardsmith.train_reward("hopper", "human", trainer="sb3", algo="sac")


# --- policies ------------------------------------------------------------------------------------------------------


class Blank(gym.Env):
    """Spaces, and nothing behind them."""

    def __init__(self, action: ActionSpec) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (5,), np.float32)
        if action.kind == "continuous":
            self.action_space = spaces.Box(np.float32(action.low), np.float32(action.high), action.shape, np.float32)
        else:
            self.action_space = spaces.Discrete(action.n) if action.n else spaces.MultiDiscrete(action.nvec)

    def reset(self, **kwargs):
        return np.zeros(5, np.float32), {}

    def step(self, action):
        return np.zeros(5, np.float32), 0.0, False, False, {}


@pytest.mark.parametrize(
    ("algo", "action"),
    [(a, s) for a in ALGORITHMS for s in (BOX, CHOICE, CHOICES) if s.kind in ALGORITHMS[a].actions],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_policies_act_as_in_stable_baselines(algo: str, action: ActionSpec, tmp_path: Path) -> None:
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    vec = VecNormalize(DummyVecEnv([lambda: Blank(action)]))
    rng = np.random.default_rng(0)
    vec.obs_rms.mean, vec.obs_rms.var = rng.normal(size=5), rng.uniform(0.1, 4, size=5)
    small = {} if ALGORITHMS[algo].on_policy else {"buffer_size": 10}
    model = algorithm_class(algo)("MlpPolicy", vec, seed=1, device="cpu", **small)
    with torch.no_grad():
        for parameter in model.policy.parameters():  # fresh heads put out almost nothing
            parameter.add_(0.3 * torch.randn_like(parameter))
    info = PolicyInfo(env=EnvSpec(name="x"), action=action, obs_dim=5, hidden=(), rescale_actions=False)
    policy = policy_of(model, vec, algo, info)
    policy.save(tmp_path / "policy.safetensors")
    obs = rng.normal(scale=3, size=(64, 5)).astype(np.float32)
    wanted, _ = model.predict(vec.normalize_obs(obs), deterministic=True)
    got = load_policy(tmp_path / "policy.safetensors").act(torch.from_numpy(obs)).numpy()
    assert got.shape == wanted.shape and len(np.unique(got)) > 1
    np.testing.assert_allclose(got, wanted, atol=1e-4)
    assert finite(policy)
    policy.weights[0][0][0, 0] = math.nan
    assert not finite(policy)


# --- whole trainings -----------------------------------------------------------------------------------------------

REMEMBERING = '''
def initial_memory(n):
    return {"best": torch.zeros(n)}

def compute_reward(obs, action, next_obs, memory):
    """Every new best position, once."""
    x = next_obs["torso_x"]
    new = (x - memory["best"]).clamp(min=0.0)
    return new, {"new": new}, {"best": torch.maximum(memory["best"], x)}

def potential(obs):
    return obs["torso_height"]
'''
BROKEN = '''
def compute_reward(obs, action, next_obs):
    """Not a number as soon as it leans over."""
    root = torch.sqrt(next_obs["torso_x"] * 0.0 - 1.0)
    return root, {"root": root}
'''


@pytest.mark.slow  # three processes that import torch and Stable-Baselines3
def test_seeds_are_trained_blamed_and_trained_again_alike(tmp_path: Path) -> None:
    hopper = resolve_env("hopper")
    graphs, exported = {}, {}
    with reward_jail() as jail:
        for name, code in {"good": REMEMBERING, "bad": BROKEN}.items():
            program = compile_reward(code, hopper.interface, jail).program
            assert program is not None
            graphs[name] = tmp_path / f"{name}.json"
            graphs[name].write_text(program.to_json())
            exported[name] = export_reward(
                program.to_json(), "", hopper.interface, hopper, None, tmp_path / f"{name}-exported"
            )
    config = Sb3Config.for_environment(
        hopper, "td3", env_steps=240, learning_starts=60, batch_size=16, evaluations=2, eval_episodes=2, num_envs=2
    )

    def train() -> dict:
        return train_with_sb3(
            EnvSpec(name="hopper"), Goal(kind="pack", task=hopper.default_task or ""), graphs, exported,
            seeds=[0], config=config, engine=LocalEngine(workers=2), out=tmp_path,
        )  # fmt: skip

    results = train()
    (good,), (bad,) = results["good"].members, results["bad"].members
    assert good.state == "trained" and [p.env_steps for p in good.curve] == [120, 240]
    assert good.eval_env_steps > 0 and len(good.kept.episodes) == 2 and good.kept.fresh
    assert set(good.curve[-1].components) == {"new"}
    assert bad.state == "crashed_reward" and "the reward is nan" in bad.error and bad.curve == ()
    folder = tmp_path / "candidates" / "good" / "seeds" / "0"
    assert read_metrics(folder / "metrics.jsonl") == list(good.curve)
    policy = load_policy(folder / "policy.safetensors")
    assert policy.info.memory_width == 1 and policy.info.squash_actions and policy.info.activation == "relu"

    before = (folder / "policy.safetensors").read_bytes()
    for path in tmp_path.glob("jobs/*/*.result.json"):
        if json.loads(path.read_bytes())["members"][0]["candidate"] == "good":
            path.unlink()  # as if it had been killed shortly before its end
    again = train()
    assert (folder / "policy.safetensors").read_bytes() == before
    assert [m.model_copy(update={"wall_s": 0.0}) for m in again["good"].members] == [
        good.model_copy(update={"wall_s": 0.0})
    ]
    assert again["bad"] == results["bad"]


@pytest.mark.slow  # one whole run
def test_a_run_is_recorded_measured_and_exported_like_any_other(tmp_path: Path) -> None:
    reward = (
        'def compute_reward(obs, action, next_obs):\n    """Upright."""\n'
        '    up = torch.cos(next_obs["pole_angle"])\n    return up, {"up": up}\n'
    )
    options = {"env_steps": 300, "learning_starts": 50, "evaluations": 3, "eval_episodes": 2}
    run = rewardsmith.train_reward(
        "cartpole", reward, seeds=1, runs=tmp_path, trainer="sb3", algo="dqn", training=options, videos=False
    )
    (candidate,) = run.candidates
    assert candidate.state == CandidateState.ACCEPTED and run.finished
    assert [p.env_steps for p in candidate.training.members[0].curve] == [100, 200, 300]
    assert run.spent.env_steps > 300
    assert "dqn of Stable-Baselines3" in (run.root / "report.html").read_text()
    again = rewardsmith.resume_run(run.root)
    assert again.candidates == run.candidates
    (scores,) = evaluate_policies(str(run.root), episodes=2)
    assert all(length > 0 for length in scores.length)
    folder = export_run(run.root, tmp_path / "out")
    assert (folder / "policy.safetensors").is_file()
    assert (folder / "reward.py").read_text() == reward


def test_a_graph_that_is_gone_is_the_folders_fault(tmp_path: Path) -> None:
    from rewardsmith.train.sb3.learning import _read_graph

    with pytest.raises(RunError, match="gone"):
        _read_graph(str(tmp_path / "gone.json"))
