"""What a check and its explanation are, and the findings that no check reports itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rewardsmith.critic.evidence import Evidence
from rewardsmith.reward.findings import Explanation
from rewardsmith.types import Finding, Severity

STAGES = {
    "values": "the reward's numbers",
    "rows": "independence of rows",
    "signal": "what there is to learn from",
    "episodes": "behaviour at the ends of episodes",
    "direction": "goal states against recorded states",
    "ranking": "successful against failed episodes",
    "exploits": "ways to be paid without doing the task",
    "words": "the task's words",
    "duplicate": "rewards already tried",
}
NEEDS_RECORDED = frozenset({"episodes", "direction", "ranking", "exploits"})


@dataclass(frozen=True)
class Check:
    """One check: `run` returns what it saw, in words with numbers, or None when all is well."""

    id: str
    severity: Severity
    explanation: Explanation
    run: Callable[[Evidence], str | None]

    @property
    def stage(self) -> str:
        return self.id.split(".", 1)[0]

    def finding(self, message: str) -> Finding:
        return Finding(id=self.id, severity=self.severity, message=message, hint=self.explanation.fix)


def check(
    id: str, severity: Severity, *, title: str, why: str, fix: str
) -> Callable[[Callable[[Evidence], str | None]], Check]:
    """Makes a check of a function; `table.py` lists all of them. `id` is `<stage>.<name>`."""

    def make(run: Callable[[Evidence], str | None]) -> Check:
        return Check(id, severity, Explanation(title, why, fix), run)

    return make


def other_explanations() -> dict[str, Explanation]:
    """Findings about the input, and about checks that could not answer."""
    explained = {
        "file.unreadable": Explanation(
            "The reward file cannot be read",
            "Nothing can be said about a file that is missing, not text, or far too large.",
            "Give the path of a UTF-8 text file that holds one compute_reward function.",
        ),
        "code.missing": Explanation(
            "There is no reward code",
            "The proposal holds no code, so there is nothing to check.",
            "Answer with one Python code block that defines compute_reward.",
        ),
        "code.fatal": Explanation(
            "The process ended while it checked this reward",
            "It died three times at this very reward, most likely for want of memory; the run goes on without it.",
            "Make the reward smaller; `rewardsmith check FILE` shows whether it does it again.",
        ),
    }
    explained["review.problem"] = Explanation(
        "A reviewing model objects",
        "Another language model read the code and expects something else to be learned than the task; it may be wrong.",
        "Judge the objection by its words; the reward goes back to its designer, or is trained with it as a warning.",
    )
    explained["review.unreadable"] = Explanation(
        "The reviewing model gave no verdict",
        "Its reply was not the JSON it was asked for, so it counts as no opinion.",
        "Nothing to do in the reward; another --review-llm may answer better.",
    )
    for stage, about in STAGES.items():
        if stage in NEEDS_RECORDED:
            explained[f"{stage}.skipped"] = Explanation(
                f"Not looked at: {about}",
                "This needs recorded transitions of an environment, and there was only an interface.",
                "Check against the environment (--env) to have it looked at.",
            )
        explained[f"{stage}.inconclusive"] = Explanation(
            f"Cannot tell: {about}",
            "The data this needs are not there (yet), and guessing would be worse than saying so.",
            "Nothing to do in the reward. More recorded episodes, goal states or successes would allow an answer.",
        )
    return explained
