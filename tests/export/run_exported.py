"""Runs inside `python -I`, with rewardsmith and what only it needs blocked: uses an exported folder, notes what it did.

Arguments: the folder, an npz with transitions ("obs.NAME", "next_obs.NAME", "memory.NAME", "action"), the npz to write,
and the number of steps to play.
"""

from __future__ import annotations

import sys


class Blocked:
    """Stands in front of all other finders."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("rewardsmith", "pydantic", "safetensors", "openai", "typer"):
            raise ImportError(f"{name} is blocked here")
        return


sys.meta_path.insert(0, Blocked())


def main(folder: str, transitions: str, out: str, steps: str) -> None:
    sys.path.insert(0, folder)
    import numpy as np
    import torch
    from gym_wrapper import make_env
    from interpreter import ExportedReward

    reward = ExportedReward.load(f"{folder}/graph.json")
    given = {name: torch.from_numpy(value) for name, value in np.load(transitions).items()}
    parts = {
        p: {k.removeprefix(p): v for k, v in given.items() if k.startswith(p)} for p in ("obs.", "next_obs.", "memory.")
    }
    got = reward(parts["obs."], given["action"], parts["next_obs."], memory=parts["memory."])
    written = {"total": got.total, "potential": reward.potential(parts["obs."])}
    written |= {f"component.{name}": value for name, value in got.components.items()}
    written |= {f"memory.{name}": value for name, value in got.memory.items()}

    env = make_env()
    env.action_space.seed(3)
    observations, actions, rewards, native, ends = [], [], [], [], []
    obs, _ = env.reset(seed=11)
    assert env.observation_space.contains(obs), obs
    for _ in range(int(steps)):
        action = env.action_space.sample()
        obs, paid, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(obs), obs
        observations.append(np.zeros(0) if isinstance(obs, dict) else np.ravel(obs))
        actions.append(action)
        rewards.append(paid)
        native.append(info["native_reward"])
        ends.append(terminated)
        assert set(info["reward_components"]) == set(reward.component_names)
        if terminated or truncated:
            break
    env.close()
    assert "rewardsmith" not in sys.modules
    np.savez(
        out,
        **{name: value.numpy() for name, value in written.items()},
        played_obs=np.array(observations),
        played_actions=np.array(actions),
        played_rewards=np.array(rewards, dtype=np.float64),
        played_native=np.array(native),
        played_ends=np.array(ends),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
