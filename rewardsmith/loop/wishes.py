"""How far policies meet the wishes of a refined run: told to the designer, and reported beside success."""

from __future__ import annotations

from collections.abc import Mapping

from rewardsmith.bank import Bank
from rewardsmith.loop.judging import judge
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.played import Played
from rewardsmith.loop.summary import WishesMet, located_goal
from rewardsmith.train.goals import load_criterion
from rewardsmith.types import TrainingResult


def wishes_met(parts: Parts, bank: Bank) -> WishesMet:
    """The share of the recorded episodes that meet each wish."""
    checks = located_goal(parts.task.goal, parts.folder.root).checks
    return WishesMet(
        episodes=bank.episodes,
        success=float(bank.success.mean()),
        shares={c.wish: float(judge(load_criterion(parts.environment, c), bank).success.mean()) for c in checks},
    )


def told(met: WishesMet) -> tuple[str, ...]:
    """The same as lines for the designer and the report."""
    episodes = f"{met.episodes} recorded episode{'s' if met.episodes > 1 else ''}"
    return tuple(f"{share:.0%} of {episodes} meet the wish {wish!r}." for wish, share in met.shares.items())


def measure_final_wishes(parts: Parts, results: Mapping[str, TrainingResult]) -> None:
    """Record how far the policies of the fresh seeds meet the wishes, if there are any."""
    if not parts.task.goal.checks or not results:
        return

    def make() -> dict:
        played = Played(parts, "final", results)
        banks = {id: played.of(id) for id in results}
        return {id: wishes_met(parts, bank).model_dump(mode="json") for id, bank in banks.items() if bank}

    parts.journal.once("final/wishes", make)
