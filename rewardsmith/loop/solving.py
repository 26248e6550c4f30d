"""Whether a reward solves its task, so that rounds may be left out: by more episodes than it was ranked by."""

from __future__ import annotations

import numpy as np

from rewardsmith.analyze.course import course_of
from rewardsmith.analyze.observations import loss_of
from rewardsmith.loop.outcome import SOLVED
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.summary import located_goal
from rewardsmith.train import evaluate, load_metric, load_policy
from rewardsmith.train.seeding import fresh_root
from rewardsmith.types import Member, Record, TrainingResult

EPISODES = 100  # of all its policies together; the best of many candidates may be lucky in the few that rank it
AT_ONCE = 8  # of each policy


class Confirmed(Record):
    """The record of how a reward's policies did in episodes that had no part in choosing them."""

    succeeded: float
    episodes: int
    env_steps: int


def solves(parts: Parts, id: str, result: TrainingResult) -> bool:
    """Whether this candidate, which seems to solve the task, does so for good: told either way, with what shows it.

    It does not where training lost success again, nor where more episodes contradict those that ranked it.
    """
    if loss := loss_of(course_of(result)):
        parts.say(f"{id} solved the task, but did not hold it: {loss}; the search goes on")
        return False
    members = [Member(m.candidate, m.seed) for m in result.members if m.state == "trained" and m.kept]
    key, needed = f"candidate/{id}/confirmed", confirmation_steps(parts.environment.horizon, len(members))
    if parts.journal.get(key) is None and not parts.affords(needed):
        parts.say(
            f"{id} seems to solve the task; {needed:,} env steps to confirm it are not left, so the search goes on"
        )
        return False
    found = Confirmed.model_validate(parts.journal.once(key, lambda: _measured(parts, members).model_dump(mode="json")))
    parts.pay(f"confirmed.{id}", found.env_steps)
    seeds = f"{len(members)} training seed{'s' if len(members) > 1 else ''}"
    share = f"in {found.succeeded:g} of {found.episodes} more episodes ({seeds})"
    if found.succeeded >= SOLVED * found.episodes:
        parts.say(f"solved: {id} succeeds {share}; no further round")
        return True
    parts.say(f"{id} seemed to solve the task, but succeeds only {share}; the search goes on")
    return False


def confirmation_steps(horizon: int, policies: int) -> int:
    """Env steps that measuring so many policies, or fewer, takes at most."""
    return (EPISODES + policies - 1) * horizon


def _measured(parts: Parts, members: list[Member]) -> Confirmed:
    metric = load_metric(parts.environment, located_goal(parts.task.goal, parts.folder.root))
    policies = [load_policy(parts.policy_path(member)) for member in members]
    root, left = fresh_root(fresh_root(parts.config.seed)), -(-EPISODES // len(members))
    success: list[np.ndarray] = []
    env_steps = 0
    with parts.watching("measuring policies again in"):
        while left > 0:
            count = min(left, AT_ONCE)
            scores = evaluate(parts.environment, metric, policies, episodes=count, seed=root + left)
            success += [score.success for score in scores]
            env_steps += sum(score.env_steps for score in scores)
            left -= count
    every = np.concatenate(success)
    return Confirmed(succeeded=float(every.sum()), episodes=len(every), env_steps=env_steps)
