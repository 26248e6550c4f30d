"""A search method as the loop asks it: its answers are looked at, and faults in one's own method are told as that."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from rewardsmith.config import DesignConfig
from rewardsmith.design.designer import proposal_id
from rewardsmith.design.prompts import PromptLibrary
from rewardsmith.errors import UsageError, problems_in, unknown
from rewardsmith.loop.outcome import Outcome
from rewardsmith.store import ID_PATTERN
from rewardsmith.types import Edit, Order

GUIDE = "docs/methods.md shows a whole method"
TAKES = {"ask": "round", "tell": "outcomes"}  # what a method has to have, and what each is called with
PARENTS: dict[Edit, int] = {"new": 0, "tweak": 1, "restructure": 1, "crossover": 2, "tune": 1}  # at least
PROMPTS = ("system", "user")
NOT_THEIRS = (f"{Path(__file__).parents[1]}/", f"{Path(importlib.__file__).parent}/", "<frozen ")  # files of frames


class Asked:
    """A method (see `loop.search.Method`) whose every answer is looked at before anything is done with it.

    Args:
        make: makes the method; its class.
        own: whether the person wrote it. What a method of rewardsmith raises is a bug of rewardsmith, and passes.
        fix: what to do once the fault is mended.

    Raises: UsageError: here, from `ask` and from `tell`: the method is at fault; the message names the line.
    """

    def __init__(self, make: Callable[[DesignConfig], Any], config: DesignConfig, *, own: bool, fix: str) -> None:
        self._name, self._own, self._fix = config.method, own, fix
        self._ids: set[str] = set()  # of everything that was proposed so far
        self._trained: set[str] = set()
        with self._blamed("cannot be made: it is called with the run's config"):
            self._method = make(config)
        for name, argument in TAKES.items():
            function = getattr(self._method, name, None)
            if not callable(function):
                self._refuse(
                    f"has no {name}({argument})", hint=f"derive it from rewardsmith.loop.search.Search; {GUIDE}"
                )
            try:
                inspect.signature(function).bind(None)
            except TypeError as error:
                self._refuse(f"has a `{name}` that does not take ({argument}): {error}", hint=GUIDE)
        self._require_prompts(str(getattr(self._method, "templates", "rewardsmith")))

    def ask(self, round: int) -> Sequence[Order]:
        with self._blamed(f"failed in ask({round})"):
            orders = self._method.ask(round)
        if not isinstance(orders, Sequence) or isinstance(orders, str):
            self._refuse(
                f"gave {_shown(orders)} in ask({round}), not a list of orders",
                hint="return a list of rewardsmith.types.Order; an empty one ends the search",
            )
        if round == 1 and not orders:
            self._refuse("asks for nothing in round 1", hint="return at least one Order: an empty list ends the search")
        given: set[str] = set()  # rewards that need nobody, from which later orders of this round may descend
        for number, order in enumerate(orders):
            where = f"asks in round {round}, order {number + 1} of {len(orders)}, for"
            if not isinstance(order, Order):
                self._refuse(f"{where} {_shown(order)}, not an Order", hint=f'Order(edit="new"), for example; {GUIDE}')
            if order.code:
                given.add(self._free_id(order.id or proposal_id(round, number), given, where))
            self._require_parents(order, given, where)
        return orders

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        self._ids |= {outcome.id for outcome in outcomes}
        self._trained |= {outcome.id for outcome in outcomes if outcome.score is not None}
        with self._blamed("failed in tell"):
            self._method.tell(outcomes)

    def _free_id(self, id: str, given: set[str], where: str) -> str:
        if not ID_PATTERN.fullmatch(id) or id in self._ids | given:
            wrong = "which another reward has" if id in self._ids | given else f"not {ID_PATTERN.pattern}"
            self._refuse(f"{where} a reward with the id {id!r}, {wrong}", hint="give it another id, or none")
        return id

    def _require_parents(self, order: Order, given: set[str], where: str) -> None:
        known, kind = self._ids | given, "reward"
        if order.edit == "tune":
            known, kind = self._trained, "trained reward"
        for id in order.parents:
            if id not in known:
                self._refuse(
                    f"{where} a `{order.edit}`: {unknown(kind, id, known)}", hint="parents are ids of proposals"
                )
        needed, count = 0 if order.code else PARENTS[order.edit], len(order.parents)
        if count < needed:
            self._refuse(
                f"{where} a `{order.edit}` of {count} parent{'s' if count != 1 else ''}, which needs {needed}",
                hint='name them, such as parents=("r1s0",), or ask for edit="new"',
            )

    def _require_prompts(self, folder: str) -> None:
        names = PromptLibrary().names()
        folders = {name.partition("/")[0] for name in names} - {"common"}
        if folder not in folders:
            self._refuse(f"sets `templates` to an {unknown('folder of prompts', folder, folders)}", hint="correct it")
        missing = [name for prompt in PROMPTS if (name := f"{folder}/{prompt}.md.j2") not in names]
        if missing:
            self._refuse(f"sets `templates` to {folder!r}, where {' and '.join(missing)} are missing", hint=GUIDE)

    @contextmanager
    def _blamed(self, doing: str) -> Iterator[None]:
        """Whatever the person's own code raises is told as its fault; the error itself is the cause of that one."""
        try:
            yield
        except Exception as error:
            if not self._own:
                raise
            raise self._fault(f"{doing}: {told(error)}", "correct it") from error

    def _refuse(self, what: str, *, hint: str) -> NoReturn:
        raise self._fault(what, hint)

    def _fault(self, what: str, hint: str) -> UsageError:
        return UsageError(f"the method {self._name} {what}", hint="; ".join(filter(None, [hint, self._fix])))


def told(error: Exception) -> str:
    """What somebody's own code raised, and the line of it that did: the last one in the folder it was called in."""
    said = problems_in(error) if isinstance(error, ValidationError) else str(error)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(NOT_THEIRS)]
    own = [f for f in frames if Path(f.filename).parent == Path(frames[0].filename).parent]
    where = f" ({own[-1].filename} line {own[-1].lineno}: {own[-1].line})" if own else ""
    return f"{type(error).__name__}{f': {said}' if said else ''}{where}"


def _shown(value: object) -> str:
    """A wrong answer: its type, and the start of what it is."""
    return "nothing (None)" if value is None else f"a {type(value).__name__} ({repr(value)[:60]})"
