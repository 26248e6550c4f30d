"""Who proposes rewards: the protocol, what a designer is told, and the designer that asks a language model."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Protocol

from rewardsmith.design.extract import extract_code
from rewardsmith.design.prompts import (
    MEMORY_TOOLS,
    TEXT_TOOLS,
    VALUE_TOOLS,
    PromptLibrary,
    action_row,
    feature_rows,
    toolkit_lines,
)
from rewardsmith.design.text import clean_line, clean_text
from rewardsmith.llm.many import complete_many
from rewardsmith.llm.messages import ChatModel, Completion, Message
from rewardsmith.types import Feedback, Proposal, RewardInterface, Task, Verdict

FUNCTION = "compute_reward"
COMPANIONS = ("potential", "initial_memory")


@dataclass(frozen=True)
class EnvironmentCard:
    """What a designer may know about an environment: never its source, its metric or its reward.

    Attributes:
        horizon: most steps in an episode; None if unlimited.
        dt: seconds per step; None where time has no unit.
    """

    name: str
    about: str
    interface: RewardInterface
    horizon: int | None = None
    dt: float | None = None


@dataclass(frozen=True)
class ScoredCandidate:
    """A trained candidate. Ranked by (success, fitness), higher is better. `components` are means per step."""

    id: str
    code: str
    success: float
    fitness: float
    components: dict[str, float] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[float, float]:
        return self.success, self.fitness


@dataclass(frozen=True)
class DesignContext:
    """Everything a designer is told in one round."""

    environment: EnvironmentCard
    task: Task
    feedback: Feedback | None = None
    best_code: str | None = None
    archive: tuple[ScoredCandidate, ...] = ()
    seed: int = 0


class Designer(Protocol):
    @property
    def name(self) -> str: ...

    def propose(self, context: DesignContext, *, round: int, count: int) -> list[Proposal]:
        """`count` proposals with ids r<round>s<sample>; one without usable code carries a `failure`.

        Raises: ModelServerError: the model cannot be reached.
        """
        ...

    def repair(self, context: DesignContext, proposal: Proposal, verdict: Verdict) -> Proposal | None:
        """A new proposal that answers the findings, or None if the designer gives up. Raises: ModelServerError."""
        ...


def proposal_id(round: int, sample: int) -> str:
    return f"r{round}s{sample}"


def repair_id(id: str) -> str:
    """ "r1s0" -> "r1s0f1" -> "r1s0f2"."""
    base, _, number = id.partition("f")
    return f"{base}f{int(number or 0) + 1}"


def repairs_so_far(id: str) -> int:
    return int(id.partition("f")[2] or 0)


class ModelDesigner:
    """Asks a language model, one request per sample.

    Round 1 shows the task, with a different idea for each sample; later rounds show the best code so far with what
    training showed about it.

    Args:
        method: the folder of templates ("eureka").
        repairs: how often one proposal may be sent back.
        temperature, max_tokens: None leaves the choice to the server.
    """

    def __init__(
        self,
        model: ChatModel,
        prompts: PromptLibrary | None = None,
        *,
        method: str = "eureka",
        repairs: int = 2,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.model = model
        self.prompts = prompts or PromptLibrary()
        self.method = method
        self.repairs = repairs
        self._options = {"temperature": temperature, "max_tokens": max_tokens}

    @property
    def name(self) -> str:
        return self.model.name

    def propose(self, context: DesignContext, *, round: int, count: int) -> list[Proposal]:
        """`count` proposals, in the order of their samples. Raises: ModelServerError."""
        prompts = {sample: self.messages(context, round=round, sample=sample) for sample in range(count)}
        replies = complete_many(self.model, prompts, step=f"round-{round}/propose", **self._options)
        parents = (context.feedback.best,) if context.feedback and context.feedback.best else ()
        return [
            self._proposal(reply, proposal_id(round, sample), round=round, sample=sample, parents=parents)
            for sample, reply in replies.items()
        ]

    def repair(self, context: DesignContext, proposal: Proposal, verdict: Verdict) -> Proposal | None:
        """The model's answer to the findings; None once `repairs` are used up. Raises: ModelServerError."""
        if repairs_so_far(proposal.id) >= self.repairs:
            return None
        new = repair_id(proposal.id)
        reply = self.model.complete(
            self.repair_messages(context, proposal, verdict),
            step=f"round-{proposal.round}/repair/{new}",
            sample=proposal.sample,
            **self._options,
        )
        return self._proposal(
            reply,
            new,
            round=proposal.round,
            sample=proposal.sample,
            parents=proposal.parents,
            repair_of=proposal.id,
        )

    # --- prompts (public, so that a dry run can show them) -----------------------------------------------------------

    def messages(self, context: DesignContext, *, round: int, sample: int) -> list[Message]:
        """The conversation that asks for sample `sample` of `round`."""
        angles = self._render("angles").splitlines()
        angle = angles[(sample - 1) % len(angles)] if sample and round == 1 else ""
        if context.best_code is None:
            return [self._system(context), self._task(context, angle=angle)]
        feedback = context.feedback
        told = self._render(
            "feedback",
            feedback=clean_text(feedback.text) if feedback else "",
            wishes=_wishes(context),
            angle=angle,
        )
        return [
            self._system(context),
            self._task(context),
            Message(role="assistant", content=_fenced(context.best_code)),
            Message(role="user", content=told),
        ]

    def repair_messages(self, context: DesignContext, proposal: Proposal, verdict: Verdict) -> list[Message]:
        """The conversation that sends `proposal` back with the findings against it."""
        said = _fenced(proposal.code) if proposal.code else "(no usable reply)"
        return [
            self._system(context),
            self._task(context),
            Message(role="assistant", content=said),
            Message(role="user", content=repair_text(self.prompts, proposal.code, proposal.failure, verdict, FUNCTION)),
        ]

    def _system(self, context: DesignContext) -> Message:
        interface = context.environment.interface
        text = any(f.dtype == "uint8" for f in interface.features)
        prompt = self._render(
            "system",
            features=feature_rows(interface.features),
            action=action_row(interface.action),
            tools=toolkit_lines((*TEXT_TOOLS, *VALUE_TOOLS) if text else VALUE_TOOLS),
            memory_tools=toolkit_lines(MEMORY_TOOLS),
        )
        return Message(role="system", content=prompt)

    def _task(self, context: DesignContext, *, angle: str = "") -> Message:
        card, task, feedback = context.environment, context.task, context.feedback
        known = feedback is not None and context.best_code is None
        text = self._render(
            "user",
            name=card.name,
            about=card.about,
            horizon=card.horizon,
            dt=card.dt,
            words=clean_line(task.words, limit=4000),
            goal=clean_line(task.goal.about, limit=4000),
            wishes=_wishes(context) if context.best_code is None else [],
            earlier=clean_text(feedback.text) if known and feedback else "",
            angle=angle,
        )
        return Message(role="user", content=text)

    def _render(self, name: str, /, **values: object) -> str:
        return self.prompts.render(f"{self.method}/{name}.md.j2", **values)

    def _proposal(
        self,
        reply: Completion,
        id: str,
        *,
        round: int,
        sample: int,
        parents: tuple[str, ...],
        repair_of: str | None = None,
    ) -> Proposal:
        found = extract_code(reply.text, FUNCTION, companions=COMPANIONS, truncated=reply.truncated)
        return Proposal(
            id=id,
            round=round,
            sample=sample,
            code=found.code or "",
            origin="model",
            parents=parents,
            repair_of=repair_of,
            thoughts=clean_text(found.prose, limit=4000),
            failure=found.problem,
        )


def repair_text(prompts: PromptLibrary, code: str, failure: str, verdict: Verdict, wanted: str) -> str:
    """The findings as a request for repair. Warnings are told too, after what was refused."""
    lines = code.split("\n")
    findings = [f for severity in ("refuse", "warn") for f in verdict.findings if f.severity == severity]
    told = [
        {
            "line": f.line,
            "source": lines[f.line - 1].strip()[:160] if f.line and 0 < f.line <= len(lines) else "",
            "message": clean_line(f.message),
            "hint": clean_line(f.hint),
        }
        for f in findings
    ]
    return prompts.render("common/repair.md.j2", findings=told, failure=clean_line(failure), wanted=f"`{wanted}`")


def docstring_of(code: str, function: str) -> str:
    """First line of the docstring of `function`; empty if there is none. `code` is only parsed."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return clean_line((ast.get_docstring(node) or "").split("\n\n")[0])
    return ""


def _wishes(context: DesignContext) -> list[str]:
    return [clean_line(w, limit=1000) for w in context.feedback.wishes] if context.feedback else []


def _fenced(code: str) -> str:
    return f"```python\n{clean_text(code)}\n```"
