"""What a run is asked to do. Frozen, closed (a typo is an error), and written whole into `run.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from rewardsmith.budget import BudgetLimits
from rewardsmith.types import EnvSpec, Record

JUDGED = ("human", "proxy")  # feedback of raters, in the place of everything that is measured
FRESH_SEED = 1000  # first seed of the final comparison; search seeds count from 0


class ModelConfig(Record):
    """Which language model writes rewards and goals."""

    llm: str = Field(
        default="builtin",
        description="A model's name, desk[:DIR], replay:FILE, or builtin (which is not a language model).",
    )
    base_url: str | None = Field(default=None, description="Any OpenAI-compatible endpoint; None is the SDK's default.")
    temperature: float = Field(default=1.0, ge=0, description="Sampling temperature of reward proposals (Eureka: 1.0).")
    max_tokens: PositiveInt = Field(default=3000, description="Longest reply, in tokens.")
    timeout_s: float = Field(default=300.0, gt=0, description="Longest wait for one reply, in seconds.")
    concurrency: PositiveInt = Field(
        default=4, description="Requests in flight at a time; 1 for a small local server that answers one by one."
    )
    usd_per_million: tuple[float, float] | None = Field(
        default=None,
        description="Your price in dollars per million (prompt, completion) tokens; needed for a dollar budget.",
    )
    strict_replay: bool = Field(
        default=False, description="With replay: a prompt that drifted is an error, not a warning."
    )


class DesignConfig(Record):
    """One design run: `rewardsmith design ENV "WORDS"`."""

    @property
    def unmeasured(self) -> bool:
        """Whether nothing but people's votes says how good a policy is."""
        return self.feedback == "human" and self.metric is None and self.task is None

    env: EnvSpec = Field(description="The environment, as typed, with its keyword arguments.")
    words: str = Field(
        default="", description="What the agent should do. Empty: the pack's own instruction, or native return."
    )
    task: str | None = Field(
        default=None, description="A task of the environment's pack; its metric then measures success."
    )
    metric: str | None = Field(
        default=None, description="A metric file of yours: step(features, previous), episode(sums, last)."
    )
    model: ModelConfig = Field(default=ModelConfig(), description="The language model.")
    method: str = Field(default="rewardsmith", description="The search method: see docs/methods.md.")
    rounds: PositiveInt = Field(default=2, description="Turns of the loop.")
    candidates: PositiveInt = Field(default=8, description="Rewards proposed in each round.")
    train: PositiveInt | None = Field(
        default=None,
        description="Of a round's accepted rewards, how many are trained: those that rank recorded episodes as the "
        "metric does, and differ. None trains all.",
    )
    seeds: PositiveInt = Field(
        default=2, le=FRESH_SEED, description="Training seeds of each candidate during the search."
    )
    repairs: int = Field(default=2, ge=0, description="How often a refused candidate goes back to its designer.")
    review_rounds: int = Field(
        default=0,
        ge=0,
        le=3,
        description="How often a language model reviews an accepted candidate and sends it back; 0 asks none.",
    )
    review_llm: str | None = Field(
        default=None, description="The reviewer: a model's name at the same endpoint; None is the designer's own model."
    )
    final_seeds: int = Field(
        5,
        ge=0,
        description="Fresh seeds that retrain the winner and the sparse reference for the headline; 0 skips it.",
    )
    feedback: Literal["none", "scalar", "full", "human", "proxy"] = Field(
        default="full",
        description="What the designer is told: nothing, the score, or all (ablations). Method icpl: which rewards "
        "people preferred (human), or the metric in their place (proxy); never a score.",
    )
    raters: PositiveInt = Field(default=1, description="With feedback human: people whose votes a round waits for.")
    proxy_mistakes: float = Field(
        default=0.0, ge=0, le=1, description="With feedback proxy: how often a vote picks another one by mistake."
    )
    fit_votes: bool = Field(
        default=False,
        description="One reward of each later round is the preferred one with numbers fitted to the votes (ICPL).",
    )
    guarantee: bool = Field(
        default=False, description="Ask for further rewards until as many as wanted pass the critic (ICPL)."
    )
    trainer: Literal["population", "sb3"] = Field(
        default="population", description="Ours, which trains all together, or Stable-Baselines3's (the extra `sb3`)."
    )
    algo: str = Field(
        default="ppo", description="Of the trainer `sb3`: ppo, a2c, sac, td3, ddpg or dqn; there is no racing then."
    )
    racing: bool = Field(default=True, description="Drop the weakest candidates early, by the goal alone.")
    finalist_seeds: PositiveInt = Field(
        default=4,
        le=FRESH_SEED,
        description="Seeds of each finalist of a race at most, paid with the steps that dropped candidates left.",
    )
    stop_when_solved: bool = Field(
        default=False,
        description="No further round once a reward held success to the end of training, and succeeds in 99 of 100 "
        "more episodes that had no part in ranking it (all its seeds together).",
    )
    seed: int = Field(default=0, ge=0, description="Root of every random stream of the run.")
    summaries: bool = Field(
        default=False, description="Have the language model sum up what the analyzer found, for the next round."
    )
    sign_only: bool = Field(
        default=False,
        description="Rewards decide signs, their sizes are fixed: sgn(sparse) + 0.1 sgn(dense) (Auto MC-Reward).",
    )
    wishes: tuple[str, ...] = Field(default=(), description="What the person asked for since, oldest first.")
    refines: str | None = Field(default=None, description="Id of the run whose best reward this one refines.")
    check_files: dict[str, str] = Field(
        default_factory=dict,
        description="Wishes that a metric file of yours checks (refine --check FILE): its path by the wish's words.",
    )
    from_reward: str | None = Field(default=None, description="Source of a reward to start from (design --from FILE).")
    rewards: dict[str, str] = Field(
        default_factory=dict, description="Method `given`: reward sources by name, trained as they are."
    )
    training: dict[str, float | int | str | bool | tuple[int, ...]] = Field(
        default_factory=dict, description="Overrides of the trainer's settings, such as env_steps."
    )
    budget: BudgetLimits = Field(default=BudgetLimits(), description="Upper limits on spending.")
    workers: PositiveInt | None = Field(default=None, description="Training processes; None is one a core.")
    stall_s: PositiveFloat = Field(
        default=900.0,
        description="An environment that shows no sign of life for so many seconds hangs: training in it fails, and "
        "recording episodes of it ends the run, which can be resumed.",
    )
    videos: bool = Field(default=True, description="Film the winner for the report where rendering works.")
    tensorboard: bool = Field(default=False, description="Also write the curves as TensorBoard events.")
    allow_unsandboxed: bool = Field(default=False, description="Trace model code even where no jail works. Do not.")
    notes: tuple[str, ...] = Field(
        default=(), description="Lines printed in the report, such as where a transcript came from."
    )
