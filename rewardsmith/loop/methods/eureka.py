"""Eureka: evolutionary search over reward code with reward reflection (Ma et al., ICLR 2024, arXiv 2310.12931).

Departures, and why: the next prompt shows the best candidate of all rounds, not of the last one, so that one bad round
does not poison the search; a refused candidate goes back with its findings before the round trains; the paper's 16
samples and 5 rounds are `--candidates` and `--rounds`, smaller by default because there may be no GPU.
"""

from __future__ import annotations

from rewardsmith.loop.steps import Steps


def design(steps: Steps) -> str | None:
    feedback = None
    for round in steps.rounds():
        proposals = steps.propose(round, feedback)
        accepted = steps.check_and_repair(proposals)
        results = steps.train(round, accepted)
        steps.analyze(round, results)
        feedback = steps.feedback(round)
    return steps.best_so_far()
