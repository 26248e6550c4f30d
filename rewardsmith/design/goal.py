"""Words -> goal.py: the model writes how success is measured, in a conversation that never sees a reward."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rewardsmith.design.designer import EnvironmentCard, docstring_of, repair_text
from rewardsmith.design.extract import Extraction, extract_code
from rewardsmith.design.prompts import PromptLibrary, action_row, feature_rows
from rewardsmith.design.text import clean_line, clean_text
from rewardsmith.errors import NothingAcceptable
from rewardsmith.llm.messages import ChatModel, Message
from rewardsmith.types import Finding, Goal, Verdict

if TYPE_CHECKING:
    from rewardsmith.jail import Jail
    from rewardsmith.reward.compile import GoalProgram

FUNCTION = "episode"
COMPANIONS = ("step",)


class WrittenGoal(NamedTuple):
    """A goal that compiles. `about` is its description in plain words (untrusted text, one line a sentence)."""

    code: str
    about: str
    program: GoalProgram
    attempts: int
    warnings: tuple[Finding, ...]

    @property
    def goal(self) -> Goal:
        return Goal(kind="model", code=self.code, about=" ".join(self.about.split()))


def write_goal(
    model: ChatModel,
    card: EnvironmentCard,
    words: str,
    jail: Jail,
    *,
    task: str = "",
    prompts: PromptLibrary | None = None,
    repairs: int = 3,
    step: str = "goal",
    temperature: float | None = None,
    max_tokens: int | None = None,
) -> WrittenGoal:
    """Asks for a goal and sends it back with the findings until it compiles.

    Request keys are (`step`, 0), (`step`, 1), ...: one sample number an attempt.

    Args:
        task: where `words` are a wish about how a task is done: that task, which the goal is not to judge.

    Raises: NothingAcceptable: no attempt compiles. ModelServerError: the model cannot be reached.
    """
    from rewardsmith.reward.compile import compile_goal  # here, because it imports torch; previews need only prompts

    prompts = prompts or PromptLibrary()
    opening = goal_messages(prompts, card, words, task=task)
    messages = opening
    problem = ""
    for attempt in range(repairs + 1):
        reply = model.complete(messages, step=step, sample=attempt, temperature=temperature, max_tokens=max_tokens)
        found = extract_code(reply.text, FUNCTION, companions=COMPANIONS, truncated=reply.truncated)
        findings: tuple[Finding, ...] = ()
        if found.code is not None:
            result = compile_goal(found.code, card.interface, jail)
            findings = tuple(result.findings)
            if result.program is not None:
                warnings = tuple(f for f in findings if f.severity == "warn")
                return WrittenGoal(found.code, describe(found), result.program, attempt + 1, warnings)
        problem = found.problem or "; ".join(f.message for f in findings if f.severity == "refuse")
        verdict = Verdict(candidate=step, accepted=False, findings=findings)
        said = f"```python\n{clean_text(found.code)}\n```" if found.code else "(no usable reply)"
        asked = repair_text(prompts, found.code or "", found.problem, verdict, "step` and `episode")
        messages = [*opening, Message(role="assistant", content=said), Message(role="user", content=asked)]
    raise NothingAcceptable(
        f"{model.name} wrote no usable goal for {clean_line(words, limit=80)!r} in {repairs + 1} attempts; "
        f"the last one: {clean_line(problem)}",
        hint="measure success yourself with --metric FILE, use a task of the pack, or name a stronger model",
    )


def goal_messages(prompts: PromptLibrary, card: EnvironmentCard, words: str, *, task: str = "") -> list[Message]:
    """The conversation that asks for goal.py, see `write_goal`."""
    text = prompts.render(
        "common/goal.md.j2",
        name=card.name,
        about=card.about,
        horizon=card.horizon,
        dt=card.dt,
        words=clean_line(words, limit=4000),
        task=clean_line(task, limit=4000),
        features=feature_rows(card.interface.features),
        action=action_row(card.interface.action),
    )
    return [Message(role="user", content=text)]


def describe(found: Extraction) -> str:
    """What the goal measures, in plain words: the lines the model was asked for, else the docstring of `episode`."""
    lines = []
    for label in ("Success", "Progress"):
        said = re.search(rf"^\W*{label}\b\W*(\S.*)$", found.prose, re.IGNORECASE | re.MULTILINE)
        if said:
            lines.append(f"{label}: {clean_line(said.group(1)).strip('* ')}")
    return "\n".join(lines) or docstring_of(found.code or "", FUNCTION) or "the model gave no description"
