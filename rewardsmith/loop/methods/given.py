"""No search: the person's own rewards, checked, trained side by side on the same seeds, and analyzed.

`train` is the case of one reward, `compare_rewards` of several.
"""

from __future__ import annotations

from rewardsmith.loop.steps import Steps


def design(steps: Steps) -> str | None:
    accepted = steps.check_and_repair(steps.given())
    steps.analyze(1, steps.train(1, accepted))
    return steps.best_so_far()
