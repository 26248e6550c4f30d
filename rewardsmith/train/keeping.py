"""Which of a member's policies is kept: that of its best evaluation, which new episodes then measure."""

from __future__ import annotations

from rewardsmith.train.evaluate import EpisodeScores
from rewardsmith.types import Kept


def keep(before: Kept | None, scores: EpisodeScores, env_steps: int) -> Kept:
    """The policy kept so far, or the one just measured if it is at least as good."""
    found = Kept(env_steps=env_steps, episodes=_pairs(scores))
    return before if before and before.score > found.score else found


def measured_again(kept: Kept | None, scores: EpisodeScores) -> Kept:
    """The kept policy with the `scores` of episodes that it was not chosen by."""
    assert kept is not None  # the last iteration of every training has an evaluation
    return Kept(env_steps=kept.env_steps, episodes=_pairs(scores), fresh=True)


def _pairs(scores: EpisodeScores) -> tuple[tuple[float, float], ...]:
    """(success, fitness) of each episode."""
    return tuple(zip(scores.success.tolist(), scores.fitness.tolist(), strict=True))
