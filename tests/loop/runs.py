"""Small runs on a real environment, and the replies a scripted model gives in them."""

from __future__ import annotations

from rewardsmith.config import DesignConfig, ModelConfig
from rewardsmith.types import EnvSpec

ENV = "mountain_car_continuous"
TINY_TRAINING = {
    "env_steps": 1024,
    "num_envs": 4,
    "rollout_steps": 64,
    "minibatch_size": 128,
    "epochs": 2,
    "evaluations": 2,
    "eval_episodes": 1,
}


def reply(term: str, name: str = "term") -> str:
    """A model's reply with a one-component reward."""
    return (
        "A short plan.\n\n```python\ndef compute_reward(obs, action, next_obs, *, weight=1.0):\n"
        f'    """Designed for a test."""\n    {name} = weight * ({term})\n'
        f'    return {name}, {{"{name}": {name}}}\n```\n'
    )


SPEED = reply('next_obs["velocity"].abs()', "speed")
HEIGHT = reply('next_obs["height"] - obs["height"]', "climb")
FORBIDDEN = reply('__import__("os").system("true") + next_obs["velocity"]', "evil")
GOAL = (
    "Success: the car once gets as far as 0.2 m.\nProgress: the furthest position.\n\n```python\n"
    'def step(obs, action, next_obs):\n    return {"position": next_obs["position"]}\n\n\n'
    'def episode(total, last, low, high, length):\n    return high["position"] > 0.2, high["position"]\n```\n'
)


def tiny_config(**changes: object) -> DesignConfig:
    """One round, two candidates, one seed, a thousand steps: seconds."""
    base: dict[str, object] = {
        "env": EnvSpec(name=ENV),
        "candidates": 2,
        "rounds": 1,
        "seeds": 1,
        "final_seeds": 0,
        "videos": False,
        "training": TINY_TRAINING,
        "workers": 1,
        "racing": False,
    }
    return DesignConfig.model_validate(base | changes)


def asking(url: str, **changes: object) -> DesignConfig:
    """The same with a language model at `url`."""
    return tiny_config(model=ModelConfig(llm="tiny", base_url=url), **changes)
