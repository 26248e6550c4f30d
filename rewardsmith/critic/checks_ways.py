"""What is paid on the way to the goal: for small steps towards it, late in an episode, and for stopping short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from rewardsmith.critic.checks_episodes import DOUBTFUL, recorded, win_rate
from rewardsmith.critic.checks_goals import Visits
from rewardsmith.critic.evidence import Evidence, Inconclusive, evaluate_rollout, evaluate_rows
from rewardsmith.critic.findings import check
from rewardsmith.critic.sample import MEMORY_STEPS, Sample

NEAR_STEP = 0.1  # of what a number changes by in a recorded step
WRONG = 0.2  # share of pairs in the right order, up to which the order is clearly wrong
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # of the way from a recorded state to a goal state, where one may stop
HIGHER = 0.1  # of what goal states pay more than recorded ones, what stopping short pays more than the goal
MOST = 0.8  # share of pairs
COURSES = 8  # rows of recorded steps, one after the other, that are remembered side by side
LOOKS = 4  # evenly spaced in an episode of full length

# --- direction -------------------------------------------------------------------------------------------------------


@check(
    "direction.near_steps",
    "warn",
    title="Small steps towards the goal are paid less than small steps away from it",
    why="A jump from a recorded state to a goal state is paid as it should be, but no policy jumps; a step as it was "
    "recorded is paid less when it ends a little nearer to the goal. Training only ever sees such steps.",
    fix="Let the reward not depend on how far one step goes; check the sign of what it pays for ordinary steps.",
)
def near_steps(evidence: Evidence) -> str | None:
    if win_rate(evidence) < DOUBTFUL:
        return None  # told by direction.inverted or direction.doubtful
    nearer, farther = (evaluate_rows(evidence.program, s, m).effective for s, m in _small_steps(evidence))
    rate = share_above(nearer, farther)
    if rate > WRONG:
        return None
    return (
        f"recorded steps moved by {NEAR_STEP:.0%} of their usual size towards a goal state are paid more than moved "
        f"away from it in only {rate:.0%} of pairs, though arriving there at once is in {win_rate(evidence):.0%}"
    )


def share_above(one: Tensor, other: Tensor) -> float:
    """Share of pairs in which one is above the other; a tie counts half."""
    return float(((one > other).double() + 0.5 * (one == other).double()).mean())


def _small_steps(evidence: Evidence) -> list[tuple[Sample, dict[str, Tensor] | None]]:
    """The probe's steps that went on, ending a little nearer to a goal state and a little farther, with their memory.

    Nearly what was recorded, so that a reward cannot tell them from steps of a policy by their size. A number that
    never changes within recorded steps stays, and so does every number that is not continuous.
    """
    assert evidence.goals is not None
    recorded(evidence)
    going_on = ~evidence.probe.terminated
    if not going_on.any():
        raise Inconclusive("every recorded step is terminal")
    steps = evidence.probe.rows(going_on)
    memory = {name: value[going_on] for name, value in evidence.probe_values.memory.items()} or None
    turn = torch.arange(len(steps))
    nearer, farther = dict(steps.next_obs), dict(steps.next_obs)
    for name, goals in evidence.goals.items():
        end = steps.next_obs[name]
        if end.is_floating_point():
            size = NEAR_STEP * (end - steps.obs[name]).square().mean(0).sqrt()
            move = torch.minimum(torch.maximum(goals[turn % len(goals)] - end, -size), size)
            nearer[name], farther[name] = end + move, end - move
    return [(replace(steps, next_obs=nearer), memory), (replace(steps, next_obs=farther), memory)]


@check(
    "direction.late",
    "warn",
    title="The reward turns against the goal later in the episode",
    why="With what it remembers after many steps, leaving a goal state pays more than arriving at it. Recorded "
    "episodes may be too short to show it; those of a policy that has learned something are not.",
    fix="Remove what counts steps or adds up over the episode, or bound it so that the goal stays best paid.",
)
def late(evidence: Evidence) -> str | None:
    if not evidence.program.remembers or win_rate(evidence) < DOUBTFUL:
        return None
    for step, memory in _later_memory(evidence):
        rate = evidence.goal_win_rate_with(memory)
        if rate <= WRONG:
            return (
                f"with what it remembers after {step} steps, arriving at a goal state pays more than leaving it in "
                f"only {rate:.0%} of pairs; with what it remembers in recorded steps in {win_rate(evidence):.0%}"
            )
    return None


def _later_memory(evidence: Evidence) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """What the reward remembers, for each row of the probe, after some numbers of steps up to a full episode.

    Recorded steps follow each other without end, as if nothing had ended the episode.
    """
    sample = recorded(evidence)
    steps = min(MEMORY_STEPS, evidence.horizon or int(sample.lengths.max()))
    index = (torch.arange(steps)[:, None] + sample.spaced(COURSES)) % len(sample)  # (T, courses)
    starts = torch.zeros(index.shape, dtype=torch.bool)
    starts[0] = True
    remembered = evaluate_rollout(evidence.program, sample, index, starts).memory_before or {}
    course = torch.arange(len(evidence.probe)) % index.shape[1]
    for look in range(1, LOOKS + 1):
        step = steps * look // LOOKS - 1
        if step >= 0:
            yield step, {name: value[step, course] for name, value in remembered.items()}


@check(
    "direction.stops_short",
    "warn",
    title="Stopping short of the goal pays more than the goal",
    why="On the way from recorded states to goal states the pay rises and then falls again before the goal is "
    "reached, so it is learned to stay where it is highest and not to arrive.",
    fix="Put the highest pay at the goal itself: the goal's own value as target, or a bonus for being there.",
)
def stops_short(evidence: Evidence) -> str | None:
    goal, other, before = Visits(evidence).pay_before(*SHARES)
    goal = goal + _paid_for_ending(evidence)
    gap = float((goal - other).mean())
    if gap <= 0:
        return None  # told by direction.inverted or direction.doubtful
    more = [float((pay > goal + HIGHER * gap).double().mean()) for pay in before]
    best = max(range(len(SHARES)), key=more.__getitem__)
    if more[best] < MOST:
        return None
    return (
        f"going {SHARES[best]:.0%} of the way to a goal state and staying there pays {float(before[best].mean()):.4g}, "
        f"more than the goal state itself ({float(goal.mean()):.4g}) in {more[best]:.0%} of pairs; recorded states pay "
        f"{float(other.mean()):.4g}"
    )


def _paid_for_ending(evidence: Evidence) -> float:
    """What arriving at a goal state pays more where that ends the episode, unless it is known not to."""
    if evidence.goal_ends is False:
        return 0.0
    return max(0.0, float((evidence.arrivals[True].total - evidence.arrivals[False].total).double().mean()))
