"""A second model's opinion on a reward that passed the executed checks (Auto MC-Reward's critic, arXiv 2312.09238).

It reads the code without comments and docstrings, because those say what the author hoped for, and can only object: an
objection sends the reward back to its designer, and nothing it says makes up for a refusal.
"""

from __future__ import annotations

import ast
import json
from typing import Literal

from pydantic import ValidationError

from rewardsmith.design.designer import EnvironmentCard
from rewardsmith.design.prompts import PromptLibrary, action_row, feature_rows
from rewardsmith.design.text import clean_line
from rewardsmith.llm.messages import ChatModel, Message
from rewardsmith.types import Finding, Proposal, Record, Task, Verdict

MAX_PROBLEMS = 6
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        "verdict": {"type": "string", "enum": ["pass", "revise"]},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "line": {"type": "integer"},
                    "problem": {"type": "string"},
                    "fix": {"type": "string"},
                },
                "required": ["line", "problem", "fix"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["verdict", "problems"],
    "additionalProperties": False,
}


class _Problem(Record):
    line: int | None = None
    problem: str
    fix: str = ""


class _Reply(Record):
    verdict: Literal["pass", "revise"]
    problems: tuple[_Problem, ...] = ()


class Reviewer:
    """Asks `model` for its opinion on accepted rewards."""

    def __init__(self, model: ChatModel, prompts: PromptLibrary | None = None) -> None:
        self.model = model
        self.prompts = prompts or PromptLibrary()

    def review(self, card: EnvironmentCard, task: Task, proposal: Proposal) -> Verdict:
        """`accepted` is false where the model objects, with one finding for each problem; an unreadable reply passes.

        Raises: ModelServerError: the model cannot be reached.
        """
        reply = self.model.complete(
            self.messages(card, task, proposal),
            step=f"round-{proposal.round}/review/{proposal.id}",
            sample=proposal.sample,
            schema=SCHEMA,
            temperature=0.0,
        )
        return _verdict(reply.text, proposal)

    def messages(self, card: EnvironmentCard, task: Task, proposal: Proposal) -> list[Message]:
        """The request; its line numbers are those of the code without comments."""
        prompt = self.prompts.render(
            "common/review.md.j2",
            name=card.name,
            about=card.about,
            words=clean_line(task.words, limit=4000),
            features=feature_rows(card.interface.features),
            action=action_row(card.interface.action),
            lines=without_comments(proposal.code).split("\n"),
        )
        return [Message(role="user", content=prompt)]


def without_comments(code: str) -> str:
    """`code` as its syntax tree reads, without comments and docstrings. It must be code that the gate accepts."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef):
            node.body = [s for s in node.body if not _is_text(s)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _verdict(text: str, proposal: Proposal) -> Verdict:
    reply = _read(text)
    if reply is None or (reply.verdict == "revise" and not reply.problems):
        said = clean_line(text, limit=80) or "nothing"
        unreadable = Finding(
            id="review.unreadable", severity="info", message=f"the reviewer's reply is no verdict: {said}"
        )
        return Verdict(candidate=proposal.id, accepted=True, findings=(unreadable,))
    if reply.verdict == "pass":
        return Verdict(candidate=proposal.id, accepted=True)
    lines = without_comments(proposal.code).split("\n")
    findings = [_finding(p, lines) for p in reply.problems[:MAX_PROBLEMS]]
    return Verdict(candidate=proposal.id, accepted=False, findings=tuple(findings))


def _read(text: str) -> _Reply | None:
    """The JSON object in a reply, with or without words around it."""
    try:
        return _Reply.model_validate(json.loads(text[text.index("{") : text.rindex("}") + 1]))
    except (ValueError, ValidationError, RecursionError):
        return None


def _finding(problem: _Problem, lines: list[str]) -> Finding:
    """The reviewer's line is one of the code without comments, so it is quoted instead of numbered."""
    known = problem.line is not None and 0 < problem.line <= len(lines)
    quoted = f" (at `{clean_line(lines[problem.line - 1], limit=120)}`)" if known and problem.line else ""
    return Finding(
        id="review.problem",
        severity="refuse",
        message=clean_line(problem.problem) + quoted,
        hint=clean_line(problem.fix),
    )
