"""What to say of a candidate that failed, and of a run that ends without one that could be trained to the end."""

from __future__ import annotations

from rewardsmith.analyze.race import ending
from rewardsmith.errors import NothingAcceptable
from rewardsmith.loop.summary import Candidate, RunSummary
from rewardsmith.types import CandidateState

MORE = "more --candidates, --rounds or --repairs may help"
WHATEVER_THE_REWARD = {
    CandidateState.CRASHED_ENV: "correct the environment",
    CandidateState.TIMED_OUT: "correct the environment, which hangs, or give it longer with --stall-s N",
    CandidateState.BUDGET: "raise the budget and resume the run",
}
OF_THE_REWARD = {
    CandidateState.CRASHED_REWARD: "correct the reward: it fails on what training meets, if not on random episodes",
    CandidateState.DIVERGED: "bound the reward, or train more carefully, with --set learning_rate=1e-4",
    CandidateState.REFUSED: "correct the reward as its findings say: rewardsmith check FILE --env ENV",
    CandidateState.DUPLICATE: "leave out the rewards that are the same as another",
}


def nothing_acceptable(run: RunSummary) -> NothingAcceptable:
    """The error of such a run. Its hint fits the command and, where all candidates ended alike, how they did."""
    states = {candidate.state for candidate in run.candidates}
    searched = run.config.method != "given"
    known = WHATEVER_THE_REWARD if searched else WHATEVER_THE_REWARD | OF_THE_REWARD
    fix = known.get(next(iter(states)), "") if len(states) == 1 else ""
    fix = fix or (MORE if searched else "")
    first = next(((c, said) for c in run.candidates if (said := reason(c))), None)
    told = f": {first[0].id} {first[0].state.replace('_', ' ')}: {first[1]}" if first else ""
    return NothingAcceptable(
        f"no candidate of {run.id} could be trained to the end{told}",
        hint="; ".join(part for part in (fix, f"read more in {run.root / 'report.html'}") if part),
    )


def reason(candidate: Candidate) -> str:
    """The first thing that explains a candidate's state, in one line; empty where nothing has to be explained."""
    if said := candidate.proposal.failure or candidate.screened:
        return said
    if candidate.verdict and not candidate.verdict.accepted:
        return next((f.message for f in candidate.verdict.findings if f.severity == "refuse"), "")
    return ending(candidate.training) if candidate.training else ""
