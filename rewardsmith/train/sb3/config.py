"""Which algorithm, on which settings: few of ours, the rest are the algorithm's own arguments."""

from __future__ import annotations

import inspect
import math
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from rewardsmith.envs import Environment
from rewardsmith.errors import MissingExtra, UsageError, problems_in, unknown
from rewardsmith.types import ActionSpec

Value = bool | int | float | str


class Algorithm(NamedTuple):
    """`name` is its class in `stable_baselines3`, `actions` the kinds of action space that it can handle."""

    name: str
    actions: tuple[str, ...]
    on_policy: bool = False


_ANY = ("continuous", "discrete", "multi_discrete")
ALGORITHMS = {
    "ppo": Algorithm("PPO", _ANY, on_policy=True),
    "a2c": Algorithm("A2C", _ANY, on_policy=True),
    "sac": Algorithm("SAC", ("continuous",)),
    "td3": Algorithm("TD3", ("continuous",)),
    "ddpg": Algorithm("DDPG", ("continuous",)),
    "dqn": Algorithm("DQN", ("discrete",)),
}
# Arguments of the algorithms that are set here, or that a policy file could not carry.
_OURS = frozenset({"self", "policy", "env", "gamma", "seed", "device", "verbose", "tensorboard_log", "use_sde"})


class Sb3Config(BaseModel):
    """Training of one seed with Stable-Baselines3."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    algo: str = Field(description="One of `ppo`, `a2c`, `sac`, `td3`, `ddpg`, `dqn`.")
    env_steps: PositiveInt = Field(default=200_000, description="Training budget per seed, in env steps.")
    num_envs: PositiveInt = Field(default=1, description="Environments side by side.")
    gamma: float = Field(default=0.99, ge=0, le=1, description="Discount per env step.")
    normalize_reward: bool = Field(
        default=False,
        description="Divide rewards by the running deviation of their discounted sum; on for `ppo` and `a2c` unless "
        "it is set. Observations are always normalized.",
    )
    evaluations: PositiveInt = Field(default=10, description="Points on the training curve.")
    eval_episodes: PositiveInt = Field(default=8, description="Episodes per evaluation.")
    arguments: dict[str, Value] = Field(
        default_factory=dict, description="Further arguments of the algorithm, such as `learning_rate`."
    )

    @classmethod
    def for_environment(cls, environment: Environment, algo: str, **overrides: Any) -> Sb3Config:
        """The environment's budget and discount, Stable-Baselines3's own settings for the rest, with overrides.

        Raises:
            UsageError: an override is unknown or wrong, or the algorithm cannot handle the actions.
            MissingExtra: Stable-Baselines3 is not installed.
        """
        if algo not in ALGORITHMS:
            raise UsageError(unknown("algorithm", algo, ALGORITHMS))
        check_actions(algo, environment.interface.action)
        own = set(cls.model_fields) - {"algo", "arguments"}
        free = arguments_of(algo)
        if strange := next((name for name in overrides if name not in own | free), None):
            raise UsageError(unknown(f"setting of {algo}", strange, own | free))
        try:
            return cls.model_validate(
                {"env_steps": environment.training.env_steps, "gamma": environment.training.gamma}
                | {"normalize_reward": ALGORITHMS[algo].on_policy, "algo": algo}
                | {name: value for name, value in overrides.items() if name in own}
                | {"arguments": {name: value for name, value in overrides.items() if name in free}}
            )
        except ValidationError as error:
            raise UsageError(f"settings of {algo}: {problems_in(error)}") from error

    @property
    def most_steps(self) -> int:
        """Env steps that a seed is trained for at most: whole rollouts, or whole bouts of collecting, only."""
        name = "n_steps" if ALGORITHMS[self.algo].on_policy else "train_freq"
        default: int = inspect.signature(algorithm_class(self.algo).__init__).parameters[name].default
        at_once = self.num_envs * int(self.arguments.get(name, default))
        return -(-self.env_steps // at_once) * at_once


def check_actions(algo: str, action: ActionSpec) -> None:
    """Raises: UsageError: the algorithm cannot handle such actions."""
    able = [name for name, algorithm in ALGORITHMS.items() if action.kind in algorithm.actions]
    hint = f"algorithms that can: {', '.join(able)}"
    if algo not in able:
        raise UsageError(f"{algo} cannot handle {action.kind.replace('_', '-')} actions", hint=hint)
    bounds = [*(action.low or (-math.inf,)), *(action.high or (math.inf,))]
    if action.kind == "continuous" and not ALGORITHMS[algo].on_policy and not all(map(math.isfinite, bounds)):
        raise UsageError(f"{algo} cannot handle actions without bounds", hint="algorithms that can: ppo, a2c")


def algorithm_class(algo: str) -> Any:
    """The algorithm's class. Raises: MissingExtra: Stable-Baselines3 is not installed."""
    try:
        import stable_baselines3
    except ImportError:
        raise MissingExtra("Stable-Baselines3", "sb3") from None
    return getattr(stable_baselines3, ALGORITHMS[algo].name)


def arguments_of(algo: str) -> frozenset[str]:
    """Names of the algorithm's arguments that take a number, a flag or a text and may be set."""
    parameters = inspect.signature(algorithm_class(algo).__init__).parameters
    return frozenset(
        name
        for name, parameter in parameters.items()
        if name not in _OURS and not name.startswith("_") and isinstance(parameter.default, Value)
    )


def try_out(config: Sb3Config, action: ActionSpec) -> None:
    """Build the algorithm once, on spaces alone, so that wrong arguments show before anything is paid for.

    Raises: UsageError: the algorithm does not take these arguments.
    """
    if not config.arguments:
        return
    algorithm = algorithm_class(config.algo)
    from stable_baselines3.common.vec_env import DummyVecEnv

    worlds = DummyVecEnv([lambda: _OnlySpaces(action)] * config.num_envs)
    try:
        algorithm("MlpPolicy", worlds, gamma=config.gamma, device="cpu", **config.arguments)
    except Exception as error:  # whatever the algorithm says of its arguments
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        given = ", ".join(f"{name}={value}" for name, value in config.arguments.items())
        raise UsageError(f"{config.algo} does not take {given}: {reason}") from error


class _OnlySpaces(gym.Env):
    """An environment that is never stepped."""

    def __init__(self, action: ActionSpec) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (8,), np.float32)
        if action.kind == "continuous":
            low, high = np.full(action.shape, -np.inf, np.float32), np.full(action.shape, np.inf, np.float32)
            if action.low is not None and action.high is not None:
                low[:], high[:] = action.low, action.high
            self.action_space = spaces.Box(low, high, dtype=np.float32)
        elif action.kind == "discrete":
            self.action_space = spaces.Discrete(action.n or 1)
        else:
            self.action_space = spaces.MultiDiscrete(np.array(action.nvec))
