"""Train Stable-Baselines3's PPO on the designed reward: `python example_sb3.py --steps 200000`."""

from __future__ import annotations

import argparse

from features import DESCRIPTION
from gym_wrapper import make_env
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200_000, help="environment steps")
    parser.add_argument("--envs", type=int, default=8, help="environments side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="sb3_policy.zip", help="where the trained policy goes")
    options = parser.parse_args()

    env = make_vec_env(make_env, n_envs=options.envs, seed=options.seed)
    kind = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    n_steps = max(16, min(256, options.steps // options.envs))
    batch_size = min(256, n_steps * options.envs)
    model = PPO(
        kind, env, n_steps=n_steps, batch_size=batch_size, gamma=DESCRIPTION["gamma"], seed=options.seed, verbose=1
    )
    model.learn(options.steps)
    model.save(options.out)
    env.close()
    print(f"trained on the designed reward; saved {options.out}")  # noqa: T201


if __name__ == "__main__":
    main()
