"""Checks that need recorded episodes, goal states, known successes, or rewards already tried."""

from __future__ import annotations

import torch
from torch import Tensor

from rewardsmith.critic.checks_values import MIN_ENDS
from rewardsmith.critic.evidence import NO_GOALS, Evidence, Inconclusive
from rewardsmith.critic.findings import check
from rewardsmith.critic.sample import Sample

TIME_LIMIT_JUMP = 5.0
IDLE_RATIO = 5.0
INVERTED = 0.1
DOUBTFUL = 0.6
TPE_PASS = 0.8  # CARD's threshold
PAIRS_PASS = 0.9
MIN_OUTCOMES = 5  # fewer successes (or failures) may be flukes
NEAR = 0.05


def recorded(evidence: Evidence) -> Sample:
    """The recorded transitions the values belong to."""
    if evidence.recorded is None:
        raise Inconclusive("nothing was recorded")
    return evidence.sample


def failed_ends(sample: Sample) -> Tensor:
    """(M,) bool: terminal steps of episodes known to have failed. Raises: Inconclusive: too few, or nobody knows."""
    ends = sample.terminated & (sample.success < 0.5)
    if int(ends.sum()) >= MIN_ENDS:
        return ends
    if not sample.terminated.any():
        raise Inconclusive("no episode looked at ended by itself")
    if sample.success.isnan().all():
        raise Inconclusive("it is not known which episodes succeeded")
    raise Inconclusive(f"only {int(ends.sum())} episodes looked at ended in failure")


def going_on(sample: Sample) -> Tensor:
    """(M,) bool: steps that ended no episode by themselves. Raises: Inconclusive: there are none."""
    if sample.terminated.all():
        raise Inconclusive("every recorded step is terminal")
    return ~sample.terminated


# --- episodes --------------------------------------------------------------------------------------------------------


@check(
    "episodes.failure_pays",
    "warn",
    title="Ending in failure pays",
    why="The last step of failed episodes is paid better than nearly every other step, so failing becomes the aim.",
    fix="Test `terminated` together with what makes it a success, or pay nothing at terminal steps.",
)
def failure_pays(evidence: Evidence) -> str | None:
    """Shaping left out: that a negative potential falls away at the end says nothing about failing."""
    sample, pay = recorded(evidence), evidence.values.total
    ends = failed_ends(sample)
    usual = pay[going_on(sample)]
    high, at_end = float(usual.quantile(0.95)), float(pay[ends].mean())
    if at_end <= high + 1e-6 * abs(high):
        return None
    return f"{at_end:.4g} on average at {int(ends.sum())} failed ends; 95 % of all other steps pay less than {high:.4g}"


@check(
    "episodes.time_limit_jump",
    "warn",
    title="The reward jumps at the time limit",
    why="The time limit is not part of the task and must not be visible; a jump there means a feature is reset too "
    "early or that the reward counts steps.",
    fix="Do not use features that change at the time limit; report the environment's feature if it is at fault.",
)
def time_limit_jump(evidence: Evidence) -> str | None:
    sample, pay = recorded(evidence), evidence.values.effective
    inside = sample.episode[1:] == sample.episode[:-1]
    change = (pay[1:] - pay[:-1])[inside]
    at_limit = sample.truncated[1:][inside]
    if int(at_limit.sum()) < MIN_ENDS or int((~at_limit).sum()) < MIN_ENDS:
        raise Inconclusive("too few of the episodes looked at reached the time limit")
    jump, usual = float(change[at_limit].mean()), float(change[~at_limit].square().mean().sqrt())
    if abs(jump) <= TIME_LIMIT_JUMP * usual + 1e-9:
        return None
    return f"the last step before the time limit changes the reward by {jump:.4g}; other steps by about {usual:.4g}"


@check(
    "episodes.idling_pays",
    "warn",
    title="Staying alive pays more than doing the task",
    why="Every step pays nearly the same whatever happens; the safest policy is then to do as little as possible.",
    fix="Make the bonus for staying alive small against the terms that measure progress.",
)
def idling_pays(evidence: Evidence) -> str | None:
    sample, pay = recorded(evidence), evidence.values.effective
    if int(sample.terminated.sum()) < MIN_ENDS:
        raise Inconclusive("too few of the episodes looked at ended by themselves")
    going_on(sample)
    low, high = (float(v) for v in pay.quantile(torch.tensor([0.05, 0.95])))
    if low <= 0 or low <= IDLE_RATIO * (high - low) or low == high:
        return None
    return f"90 % of all steps pay between {low:.4g} and {high:.4g}, so living counts far more than acting"


@check(
    "episodes.dying_pays",
    "warn",
    title="Failing early is the cheapest way",
    why="Every step costs and an episode can be ended by failing, so the best return is that of the shortest failure.",
    fix="Pay something for being on the way, subtract a terminal penalty larger than the rest of an episode costs, or "
    "drop the cost per step.",
)
def dying_pays(evidence: Evidence) -> str | None:
    sample, pay = recorded(evidence), evidence.values.effective
    ends = failed_ends(sample)
    others = pay[going_on(sample)]
    high, usual, at_end = float(others.quantile(0.95)), float(others.mean()), float(pay[ends].mean())
    longest = int(sample.lengths.max())
    if high >= 0 or at_end <= 0.5 * usual * longest:
        return None
    return f"nearly every step pays less than zero ({usual:.4g} on average) and failing at once pays {at_end:.4g}"


# --- direction -------------------------------------------------------------------------------------------------------


def win_rate(evidence: Evidence) -> float:
    if evidence.goals is None:
        raise Inconclusive(NO_GOALS)
    return evidence.goal_win_rate


@check(
    "direction.inverted",
    "refuse",
    title="The reward points away from the goal",
    why="Leaving a goal state pays more than arriving at it: most likely a sign is wrong.",
    fix="Check the sign of every term: what should grow is added, distances and costs are subtracted.",
)
def inverted(evidence: Evidence) -> str | None:
    rate = win_rate(evidence)
    if rate > INVERTED:
        return None
    return f"arriving at a goal state from a recorded state pays more than leaving it in only {rate:.0%} of pairs"


@check(
    "direction.doubtful",
    "warn",
    title="The reward does not tell goal states from others",
    why="Arriving at a goal state hardly pays more than leaving it, so reaching the goal is not what is learned.",
    fix="Add a term for being at the goal, or strengthen it against the others.",
)
def doubtful(evidence: Evidence) -> str | None:
    rate = win_rate(evidence)
    if rate <= INVERTED or rate >= DOUBTFUL:
        return None
    return f"arriving at a goal state from a recorded state pays more than leaving it in {rate:.0%} of pairs"


# --- ranking ---------------------------------------------------------------------------------------------------------


@check(
    "ranking.successes_lose",
    "warn",
    title="Failed episodes are paid like successful ones",
    why="On recorded episodes the reward per step of successes is not above that of failures (trajectory preference "
    "evaluation, CARD), so a policy that maximizes it need not succeed.",
    fix="Look at what the failed episode is paid for and take that away, or pay more for what only successes reach.",
)
def successes_lose(evidence: Evidence) -> str | None:
    """CARD asks how many successes beat the best failure. Among hundreds of failures one is lucky, so a reward also
    passes when nearly all pairs are in the right order."""
    sample = recorded(evidence)
    success = sample.per_episode(sample.success)
    pay = sample.per_episode(evidence.values.effective)  # per step: success shortens episodes
    won, lost = pay[success >= 0.5], pay[success < 0.5]
    if min(len(won), len(lost)) < MIN_OUTCOMES:
        raise Inconclusive(
            f"{len(won)} successful and {len(lost)} failed episodes are recorded, {MIN_OUTCOMES} of each are needed"
        )
    rate = float((won > lost.max()).double().mean())
    pairs = float((won[:, None] > lost[None, :]).double().mean())
    if rate >= TPE_PASS or pairs >= PAIRS_PASS:
        return None
    return (
        f"{rate:.0%} of {len(won)} successful episodes are paid more per step than the best of {len(lost)} failed ones "
        f"(at least {TPE_PASS:.0%} wanted), and {pairs:.0%} of all pairs are in the right order: the worst success "
        f"gets {float(won.min()):.4g} a step, the best failure {float(lost.max()):.4g}"
    )


# --- duplicate -------------------------------------------------------------------------------------------------------


@check(
    "duplicate.near",
    "refuse",
    title="The same as a reward already tried",
    why="Up to a positive scale and an offset that changes nothing it pays the same for every transition (below "
    "0.05 of at most 2 apart), and training it again would teach nothing new.",
    fix="Change what is asked for: another term, another way to combine them, another condition; new weights are not "
    "enough when one term dominates.",
)
def near(evidence: Evidence) -> str | None:
    if evidence.tried and evidence.nearest is None and evidence.program.remembers:
        raise Inconclusive("a reward with memory cannot be compared row by row")
    nearest = evidence.nearest
    if nearest is None or max(nearest.distance, nearest.paid) >= NEAR:
        return None
    same = "is the same as" if nearest.paid < 1e-6 else f"differs by {nearest.paid:.2g} (of at most 2) from"
    return f"after removing scale and offset it {same} candidate {nearest.candidate[:80]!r}"


@check(
    "duplicate.shaped",
    "warn",
    title="A reward already tried, with other shaping",
    why="Up to a positive scale and potential shaping it pays the same (STARC distance below 0.05 of at most 2): the "
    "same policies are best under it, and only how fast they are found can differ.",
    fix="Right where the reward asks for the right thing but is learned too slowly. Where it asks for the wrong one, "
    "change what is asked for.",
)
def shaped(evidence: Evidence) -> str | None:
    nearest = evidence.nearest
    if nearest is None or nearest.distance >= NEAR or nearest.paid < NEAR:
        return None
    return f"it asks for the same as candidate {nearest.candidate[:80]!r} and differs from it by shaping alone"


@check(
    "duplicate.novelty",
    "info",
    title="How new the reward is",
    why="The STARC distance to the nearest reward already tried: 0 asks for the same policies, 1.41 is unrelated, 2 "
    "is the opposite. A search whose rewards stay near each other explores little.",
    fix="Nothing to do.",
)
def novelty(evidence: Evidence) -> str | None:
    nearest = evidence.nearest
    if nearest is None:
        return None
    return f"the nearest reward already tried is {nearest.candidate[:80]!r}, at a distance of {nearest.distance:.2f}"
