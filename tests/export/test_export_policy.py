"""The policy that travels with an exported reward, and Stable-Baselines3 on the wrapper."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rewardsmith.envs import resolve_env
from rewardsmith.export import export_reward
from rewardsmith.reward.compile import compile_reward
from rewardsmith.train.policy import Policy, PolicyInfo, load_policy

MEMORY = '''
def initial_memory(n):
    return {"seen": torch.zeros(n)}

def compute_reward(obs, action, next_obs, memory):
    """Remember."""
    now = next_obs["REPLACED"].float().reshape(-1, 2).amax(-1)
    return now, {"now": now}, {"seen": torch.maximum(memory["seen"], now)}
'''

BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("rewardsmith", "pydantic", "safetensors", "openai", "typer"):
            raise ImportError(f"{name} is blocked here")
sys.meta_path.insert(0, Blocked())
sys.path.insert(0, sys.argv[1])
"""
ACT = """
import json, torch, numpy as np
from policy import TrainedPolicy, run_episode
from gym_wrapper import make_env
policy = TrainedPolicy()
inputs = torch.from_numpy(np.load(sys.argv[2]))
np.save(sys.argv[3], policy.act(inputs).numpy())
with make_env(max_episode_steps=40) as env:
    print(json.dumps(run_episode(env, policy, seed=4)))
"""
CHECK = """
import warnings
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_sb3
from gym_wrapper import make_env
warnings.simplefilter("ignore")
check_env(make_env(), skip_render_check=True)
check_sb3(make_env())
sys.argv = ["example_sb3.py", "--steps", "64", "--envs", "2", "--out", sys.argv[2]]
import example_sb3
example_sb3.main()
"""


def run(script: str, *arguments: object, cwd: Path) -> str:
    command = [sys.executable, "-I", "-c", BLOCK + script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def exported(name: str, feature: str, jail, out: Path, policy: Path | None = None):
    environment = resolve_env(name)
    source = MEMORY.replace("REPLACED", feature)
    result = compile_reward(source, environment.interface, jail)
    assert result.program is not None, result.findings
    export_reward(result.program.to_json(), source, environment.interface, environment, policy, out)
    return environment, result.program


@pytest.mark.parametrize(
    ("name", "feature", "activation"),
    [
        ("hopper", "torso_velocity", "tanh"),
        pytest.param("hopper", "torso_velocity", "relu", marks=pytest.mark.slow),
        pytest.param("lunar_lander", "leg_contact", "tanh", marks=pytest.mark.slow),
    ],
)
def test_the_policy_acts_as_in_rewardsmith(name, feature, activation, jail, tmp_path):
    environment = resolve_env(name)
    world = environment.make_world(1)
    inputs, hidden, action = world.obs_dim + 1, (16, 8), environment.interface.action
    outputs = action.n or int(np.prod(action.shape))
    info = PolicyInfo(
        env=environment.spec,
        action=action,
        obs_dim=world.obs_dim,
        memory_width=1,
        hidden=hidden,
        activation=activation,
        rescale_actions=True,
        squash_actions=activation == "relu",  # as policies of SAC have it
    )
    rng = torch.Generator().manual_seed(0)
    shapes = itertools.pairwise([inputs, *hidden, outputs])
    layers = tuple((torch.randn(a, b, generator=rng), torch.randn(1, b, generator=rng)) for a, b in shapes)
    mean, var = torch.randn(inputs, generator=rng).double(), torch.rand(inputs, generator=rng).double()
    policy = Policy(info, layers, mean, var)
    policy.save(tmp_path / "policy.safetensors")
    exported(name, feature, jail, tmp_path / "out", tmp_path / "policy.safetensors")

    seen = torch.randn(50, inputs, generator=rng)
    np.save(tmp_path / "in.npy", seen.numpy())
    said = run(ACT, tmp_path / "out", tmp_path / "in.npy", tmp_path / "actions.npy", cwd=tmp_path)
    wanted = load_policy(tmp_path / "policy.safetensors").act(seen[:, :-1], seen[:, -1:])
    got = np.load(tmp_path / "actions.npy")
    assert got.shape == tuple(wanted.shape)
    np.testing.assert_allclose(got, wanted.numpy(), atol=2e-5)
    assert 0 < json.loads(said)["steps"] <= 40


@pytest.mark.slow
@pytest.mark.parametrize(("name", "feature"), [("hopper", "torso_velocity"), ("lunar_lander", "leg_contact")])
def test_the_wrapper_passes_the_checkers_and_trains_with_sb3(name, feature, jail, tmp_path):
    exported(name, feature, jail, tmp_path / "out")
    said = run(CHECK, tmp_path / "out", tmp_path / "model.zip", cwd=tmp_path)
    assert "trained on the designed reward" in said
    assert (tmp_path / "model.zip").is_file()
