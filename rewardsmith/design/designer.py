"""Who proposes rewards: the protocol, what a designer is told, and the designer that asks a language model."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from rewardsmith.types import Edit, Proposal, RewardInterface, Task, Verdict

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
class Parent:
    """A reward to start from. `told` is what its training showed, in words; empty for one that was brought along."""

    id: str
    code: str
    told: str = ""


@dataclass(frozen=True)
class Assignment:
    """One reward to write: `Order`, with what its parents are. `sample` is its number within the round."""

    sample: int = 0
    edit: Edit = "new"
    idea: int = 0
    parents: tuple[Parent, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(parent.id for parent in self.parents if parent.id)


@dataclass(frozen=True)
class DesignContext:
    """What a designer is told in every request of a round.

    Attributes:
        archive: everything trained so far.
        history: what earlier edits did, in words.
        wishes: what the person asked for since.
    """

    environment: EnvironmentCard
    task: Task
    archive: tuple[ScoredCandidate, ...] = ()
    history: str = ""
    wishes: tuple[str, ...] = ()
    seed: int = 0


class Designer(Protocol):
    @property
    def name(self) -> str: ...

    def propose(self, context: DesignContext, work: Sequence[Assignment], *, round: int) -> list[Proposal]:
        """A proposal for each assignment, with ids r<round>s<sample>; one without usable code carries a `failure`.

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
    """Asks a language model, one request for each assignment.

    A request shows the task; what is to descend from a reward shows its code with what training showed about it.

    Args:
        method: the folder of templates, such as "eureka".
        repairs: how often one proposal may be sent back.
        sign_only: ask for signs alone, see `DesignConfig.sign_only`.
        temperature, max_tokens: None leaves the choice to the server.
    """

    def __init__(
        self,
        model: ChatModel,
        prompts: PromptLibrary | None = None,
        *,
        method: str = "rewardsmith",
        repairs: int = 2,
        sign_only: bool = False,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.model = model
        self.prompts = prompts or PromptLibrary()
        self.method = method
        self.repairs = repairs
        self.sign_only = sign_only
        self._options = {"temperature": temperature, "max_tokens": max_tokens}

    @property
    def name(self) -> str:
        return self.model.name

    def propose(self, context: DesignContext, work: Sequence[Assignment], *, round: int) -> list[Proposal]:
        """A proposal for each assignment, in their order. Raises: ModelServerError."""
        prompts = {assignment.sample: self.messages(context, assignment) for assignment in work}
        replies = complete_many(self.model, prompts, step=f"round-{round}/propose", **self._options)
        return [
            self._proposal(
                replies[assignment.sample],
                proposal_id(round, assignment.sample),
                round=round,
                sample=assignment.sample,
                edit=assignment.edit,
                parents=assignment.ids,
            )
            for assignment in work
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
            edit=proposal.edit,
            parents=proposal.parents,
            repair_of=proposal.id,
        )

    # --- prompts (public, so that a dry run can show them) -----------------------------------------------------------

    def messages(self, context: DesignContext, assignment: Assignment) -> list[Message]:
        """The conversation that asks for one reward."""
        idea = self._idea(assignment.idea)
        if not assignment.parents:
            return [self._system(context), self._task(context, idea=idea)]
        parent, *others = assignment.parents
        told = self._render(
            "feedback",
            edit=assignment.edit,
            feedback=clean_text(parent.told),
            others=[{"code": fenced(p.code), "feedback": clean_text(p.told)} for p in others],
            history=clean_text(context.history),
            wishes=_wishes(context),
            idea=idea,
        )
        return [
            self._system(context),
            self._task(replace(context, history="", wishes=())),  # told below
            Message(role="assistant", content=fenced(parent.code)),
            Message(role="user", content=told),
        ]

    def _idea(self, number: int) -> str:
        """Idea `number` of the method's list, which starts over at its end; none for 0."""
        if not number:
            return ""
        ideas = self._render("ideas").splitlines()
        return ideas[(number - 1) % len(ideas)]

    def repair_messages(self, context: DesignContext, proposal: Proposal, verdict: Verdict) -> list[Message]:
        """The conversation that sends `proposal` back with the findings against it."""
        said = fenced(proposal.code) if proposal.code else "(no usable reply)"
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
            sign_only=self.sign_only,
        )
        return Message(role="system", content=prompt)

    def _task(self, context: DesignContext, *, idea: str = "") -> Message:
        card, task = context.environment, context.task
        text = self._render(
            "user",
            name=card.name,
            about=card.about,
            horizon=card.horizon,
            dt=card.dt,
            words=clean_line(task.words, limit=4000),
            goal=clean_line(task.goal.about, limit=4000),
            wishes=_wishes(context),
            history=clean_text(context.history),
            idea=idea,
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
        edit: Edit,
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
            edit=edit,
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
    return [clean_line(wish, limit=1000) for wish in context.wishes]


def fenced(code: str) -> str:
    """As a block of code in a prompt."""
    return f"```python\n{clean_text(code)}\n```"
