"""How many env steps a run takes at most, before it takes any."""

from __future__ import annotations

from typing import NamedTuple

from rewardsmith.bank.record import most_recorded
from rewardsmith.clips.recording import pace_of
from rewardsmith.config import DesignConfig
from rewardsmith.envs import Environment
from rewardsmith.loop.clipping import SEEDS as CLIPS
from rewardsmith.loop.parts import BANK_TRANSITIONS, simple_steps
from rewardsmith.loop.played import played_steps
from rewardsmith.loop.solving import confirmation_steps
from rewardsmith.train import PpoConfig
from rewardsmith.train.config import schedule
from rewardsmith.train.sb3 import Sb3Config

COMPARED = 2  # rewards that train on fresh seeds: the winner, and what it is compared with


class Member(NamedTuple):
    """What one candidate takes with one seed, at most."""

    training: int
    measurements: int  # of its policy, on its way and at the end
    episodes: int  # of each

    def evaluation(self, horizon: int) -> int:
        return self.measurements * self.episodes * horizon


class StepsAhead(NamedTuple):
    """Env steps at most, by what they are for. Races and short episodes take fewer."""

    training: int
    evaluation: int
    recording: int
    told: str  # what they are spent on, in words

    @property
    def total(self) -> int:
        return self.training + self.evaluation + self.recording


def steps_ahead(config: DesignConfig, environment: Environment) -> StepsAhead:
    """All that `Parts.pay` may book for such a run. A race only moves steps from dropped candidates to finalists.

    Raises: UsageError: the training settings are wrong.
    """
    candidates, final = trained_at_most(config), COMPARED * config.final_seeds
    members = candidates * config.seeds + final
    member = _member(config, environment)
    played = candidates * config.seeds + (final if config.wishes else 0)  # policies of which episodes are recorded
    horizon = environment.horizon
    confirmed = config.rounds - 1 if config.stop_when_solved else 0  # at most, after each round but the last
    again = confirmed * confirmation_steps(horizon, max(config.seeds, config.finalist_seeds))
    evaluation = members * member.evaluation(horizon) + again
    clips = candidates * len(CLIPS) * pace_of(environment).steps if config.feedback == "human" else 0
    recording = most_recorded(BANK_TRANSITIONS, horizon) + simple_steps(environment)
    recording += played_steps(environment, played) + clips
    who = "critic, analyzer and raters" if clips else "critic and analyzer"
    search = f"{candidates} candidates x {config.seeds} seeds x {member.training:,}"
    fresh = f" + {COMPARED} rewards x {config.final_seeds} fresh seeds x {member.training:,}" if final else ""
    measured = (
        f" + {evaluation:,} to measure policies ({members} seeds x {member.measurements} times x {member.episodes} "
        f"episodes of {horizon:,} steps at most{f', {again:,} to confirm that it is solved' if again else ''})"
    )
    return StepsAhead(
        training=members * member.training,
        evaluation=evaluation,
        recording=recording,
        told=f"{search}{fresh}{measured} + {recording:,} recorded for {who}",
    )


def trained_at_most(config: DesignConfig) -> int:
    """Candidates that the search trains; methods of your own may ask for others than `candidates` in a round."""
    proposed = [config.candidates] * config.rounds
    if config.method == "given":
        proposed = [len(config.rewards)]
    elif config.method == "refine":
        proposed[0] += 1  # the reward that it starts from
    return sum(min(count, config.train or count) for count in proposed)


def _member(config: DesignConfig, environment: Environment) -> Member:
    """The kept policy is measured once more at the end, on other episodes."""
    if config.trainer == "sb3":
        sb3 = Sb3Config.for_environment(environment, config.algo, **config.training)
        return Member(sb3.most_steps, sb3.evaluations + 1, sb3.eval_episodes)
    ppo = PpoConfig.for_environment(environment, **config.training)
    return Member(ppo.trained_steps, len(schedule(ppo).evaluations) + 1, ppo.eval_episodes)
