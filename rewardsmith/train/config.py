"""Settings of PPO and the schedule derived from them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from rewardsmith.errors import UsageError, problems_in, unknown

LANES = 32  # floats that fill two of the widest vector registers; layouts in multiples of it have no scalar remainders

PRESETS: dict[str, dict[str, Any]] = {
    "fast": {},
    # Stable-Baselines3 PPO("MlpPolicy", VecNormalize(env)): for parity of returns only, never for selection.
    "sb3": {
        "num_envs": 1,
        "rollout_steps": 2048,
        "minibatch_size": 64,
        "epochs": 10,
        "learning_rate": 3e-4,
        "anneal": False,
        "normalize_obs": True,
        "normalize_reward": "vecnormalize",
        "rescale_actions": False,
    },
    # Few large minibatches over many environments keep a GPU busy.
    "gpu": {"device": "cuda", "num_envs": 512, "rollout_steps": 24, "minibatch_size": 3072, "epochs": 5},
}


class PpoConfig(BaseModel):
    """PPO for one member of the population; all members of a job share it. Unset fields come from `preset`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["fast", "sb3", "gpu"] = Field(
        default="fast",
        description="Defaults: ours, those of Stable-Baselines3, or ours for many environments on a GPU.",
    )
    device: str = Field(
        default="native",
        pattern=r"^(native|auto|cpu|cuda(:\d+)?)$",
        description="`native`: the environment's own simulator, on the CPU. Else worlds and networks live on one "
        "device, MuJoCo as mujoco-warp: `cuda`, `cuda:1`, `auto` (CUDA if there is one), or `cpu` (slow, for checks).",
    )
    captured: bool = Field(
        default=False, description="Replay a step of mujoco-warp from a recorded graph. Not yet tried on a GPU."
    )
    env_steps: PositiveInt = Field(default=200_000, description="Training budget per member, in env steps.")
    num_envs: PositiveInt = Field(default=16, le=65_536, description="Parallel environments per member.")
    rollout_steps: PositiveInt = Field(default=128, description="Steps each environment runs between two updates.")
    minibatch_size: PositiveInt = Field(default=256, description="Rows per gradient step, per member.")
    epochs: PositiveInt = Field(default=10, description="Passes over each rollout.")
    learning_rate: PositiveFloat = Field(default=3e-4, description="Adam's step size (eps 1e-5).")
    anneal: bool = Field(default=False, description="Lower the learning rate linearly to zero over the budget.")
    gamma: float = Field(default=0.99, ge=0, le=1, description="Discount per env step.")
    gae_lambda: float = Field(default=0.95, ge=0, le=1, description="Decay of generalized advantage estimation.")
    clip: PositiveFloat = Field(default=0.2, description="PPO's clipping range of the probability ratio.")
    value_coef: NonNegativeFloat = Field(default=0.5, description="Weight of the value loss.")
    entropy_coef: NonNegativeFloat = Field(default=0.0, description="Weight of the entropy bonus.")
    max_grad_norm: PositiveFloat = Field(default=0.5, description="Each member's gradient is clipped to this norm.")
    hidden: tuple[PositiveInt, ...] = Field(
        default=(64, 64), description="Widths of the hidden layers, multiples of 32: `--set hidden=64,64`."
    )
    activation: Literal["tanh", "relu"] = Field(default="tanh", description="Nonlinearity of the hidden layers.")
    normalize_obs: bool = Field(default=True, description="Running mean and variance, frozen during a rollout.")
    normalize_reward: Literal["scale_free", "vecnormalize", "off"] = Field(
        default="scale_free",
        description="Divide rewards by the running deviation of their discounted sum; "
        "`scale_free` has no prior, so a reward and its multiple train alike.",
    )
    rescale_actions: bool = Field(
        default=True, description="Map [-1, 1] of the policy onto the bounds of the action space."
    )
    evaluations: PositiveInt = Field(
        default=10, description="Points on the training curve, evenly spaced over the budget."
    )
    eval_episodes: PositiveInt = Field(default=8, description="Episodes per evaluation.")
    checkpoint_steps: PositiveInt | None = Field(
        default=None, description="Extra checkpoints every so many env steps; there is always one at every evaluation."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {**PRESETS.get(values.get("preset", "fast"), {}), **values}
        return values

    @field_validator("hidden", mode="before")
    @classmethod
    def _one_layer(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _check(self) -> PpoConfig:
        if self.minibatch_size > self.batch:
            raise ValueError(
                f"minibatch_size {self.minibatch_size} exceeds num_envs * rollout_steps = {self.batch}; lower it"
            )
        if self.captured and self.device == "native":
            raise ValueError("captured needs a device, such as cuda: the native simulators have no graphs to record")
        if not self.hidden or any(width % LANES for width in self.hidden):
            raise ValueError(f"hidden {self.hidden}: widths must be multiples of {LANES}, at least one layer")
        return self

    @classmethod
    def for_environment(cls, environment: Any, **overrides: Any) -> PpoConfig:
        """The environment's own training settings, with overrides; `preset="sb3"` replaces what it sets.

        Raises: UsageError: an override is unknown or wrong.
        """
        if strange := next((name for name in overrides if name not in cls.model_fields), None):
            raise UsageError(unknown("training setting", strange, cls.model_fields))
        preset = PRESETS.get(overrides.get("preset", "fast"), {})
        try:
            return cls(**{**environment.training.model_dump(), **preset, **overrides})
        except ValidationError as error:
            raise UsageError(
                f"training settings: {problems_in(error)}",
                hint="docs/configuration.md says what each setting takes; lists are given as --set hidden=64,64",
            ) from error

    @property
    def batch(self) -> int:
        """Env steps per member and iteration."""
        return self.num_envs * self.rollout_steps

    @property
    def trained_steps(self) -> int:
        """Env steps that a member is trained for: whole iterations only."""
        return self.iterations * self.batch

    @property
    def iterations(self) -> int:
        """Iterations in the budget: as many as fit, at least one."""
        return max(1, self.env_steps // self.batch)


class Schedule(NamedTuple):
    """Where evaluations and checkpoints fall, as iteration counts: the same for every member, shard and rung."""

    total: int
    evaluations: tuple[int, ...]
    checkpoints: tuple[int, ...]  # a superset of the evaluations

    def next_checkpoint(self, iteration: int) -> int:
        return next(c for c in self.checkpoints if c > iteration)

    def rung(self, part: float) -> int:
        """The first evaluation at or after this part of the budget."""
        return next(e for e in self.evaluations if e >= part * self.total - 1e-9)


def schedule(config: PpoConfig) -> Schedule:
    """The schedule of a configuration. Few iterations mean fewer evaluations, never two at one place."""
    total = config.iterations
    evaluations = sorted({-(-total * i // config.evaluations) for i in range(1, config.evaluations + 1)})
    checkpoints = set(evaluations)
    if config.checkpoint_steps is not None:
        every = max(1, config.checkpoint_steps // config.batch)
        checkpoints |= set(range(every, total, every))
    return Schedule(total, tuple(evaluations), tuple(sorted(checkpoints)))


def iterations_until(config: PpoConfig, until_steps: int | None) -> int:
    """Iterations of a job that stops at `until_steps` (None: the whole budget).

    Raises: UsageError: the stop is not on a checkpoint, so that stopping there could change the result.
    """
    plan = schedule(config)
    if until_steps is None:
        return plan.total
    iteration, rest = divmod(until_steps, config.batch)
    if rest or iteration not in plan.checkpoints:
        stops = ", ".join(str(c * config.batch) for c in plan.checkpoints[:12])
        raise UsageError(
            f"a training job cannot stop at {until_steps} env steps", hint=f"stop at a checkpoint: {stops}"
        )
    return iteration
