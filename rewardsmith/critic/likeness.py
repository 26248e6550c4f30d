"""How near a reward is to those already tried, on fixed transitions: STARC's minimal form, fast enough for every check.

Potentials are removed by projection. What all rewards share is projected out with a basis made once; the potentials in
a candidate's own graph are added for its comparison, and for good once it counts as tried.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from rewardsmith.critic.evidence import SHAPING_GAMMA, evaluate_rows
from rewardsmith.critic.sample import Sample
from rewardsmith.reward.distances.potentials import Basis, Span, own_shaping, shaping, unit
from rewardsmith.reward.program import RewardProgram

ROWS = 1024  # of each kind of transitions; a check takes under 10 ms with these
FOURIER = 32
MAX_SPAN = 0.25  # of the rows: more potentials than this would leave nothing of a reward
CONSTANT = 1e-6  # of the mean: spread below which values are one number


class Nearest(NamedTuple):
    """`distance` is in [0, 2]: 0 asks for the same best policies, sqrt(2) is unrelated, 2 opposite.

    `paid` is the same of what is really paid, shaping included, up to scale and offset: where both are near 0 training
    would go the same way, where only `distance` is, the way there differs.
    """

    candidate: str
    distance: float
    paid: float


class Likeness:
    """The rewards tried so far. Rewards with memory are kept by graph only: what they pay depends on the way.

    Args:
        recorded: transitions that happened, or None.
        invented: synthetic transitions, where a bonus that no recorded transition earns shows.
    """

    def __init__(self, recorded: Sample | None, invented: Sample) -> None:
        self._recorded, self._invented = recorded, invented
        self._graphs: dict[str, str] = {}

    @cached_property
    def _views(self) -> list[_View]:
        """Recorded transitions where there are enough to remove potentials from rewards, and invented ones."""
        # whether episodes end is not known of invented transitions, so they cannot tell a bonus for being alive
        views = [_View(self._invented.rows(torch.arange(min(ROWS, len(self._invented)))), offsets=True)]
        if self._recorded is not None:
            happened = _View(self._recorded.spread(ROWS), offsets=False)
            if happened.span.basis.shape[1] <= MAX_SPAN * len(happened.span.basis):
                views.append(happened)
        return views

    def __len__(self) -> int:
        return len(self._graphs)

    def remember(self, id: str, program: RewardProgram) -> None:
        """Count a reward as tried. Raises: EvaluationFailed: it fails on these transitions."""
        if not program.remembers:
            for view in self._views:
                view.remember(id, program)
        self._graphs[id] = program.graph_id

    def nearest(self, program: RewardProgram, *, other_than: str = "") -> Nearest | None:
        """The nearest reward tried; None: none can be compared. Raises: EvaluationFailed: it fails here.

        A distance is the largest over the views.
        """
        others = [id for id in self._graphs if id != other_than]
        same = next((id for id in others if program.graph_id and self._graphs[id] == program.graph_id), None)
        if same is not None:
            return Nearest(same, 0.0, 0.0)
        if program.remembers or not others:
            return None
        seen = [view.distances(program) for view in self._views]
        paid = [view.paid_apart(program) for view in self._views]
        found = []
        for id in others:
            known = [distances[id] for distances in seen if id in distances]
            if len(known) == len(seen) and (answers := [d for d in known if d is not None]):
                found.append(Nearest(id, max(answers), max(view[id] for view in paid)))
        return min(found, key=lambda nearest: (round(nearest.distance, 3), nearest.paid), default=None)


class _View:
    """One set of transitions and what the rewards tried pay on it. `offsets`: a constant counts as nothing."""

    def __init__(self, sample: Sample, *, offsets: bool) -> None:
        self._sample, self._offsets = sample, offsets
        self._values: dict[str, Tensor] = {}  # as paid without `potential()`, (M,)
        self._effective: dict[str, Tensor] = {}  # as paid, without scale and offset, (M,)
        self._rest: dict[str, Tensor] = {}  # without what the span holds, (M,)

    @cached_property
    def span(self) -> Span:
        s = self._sample
        basis = Basis(s.obs, fourier=FOURIER)
        columns = [shaping(basis(s.obs), basis(s.next_obs), s.terminated, SHAPING_GAMMA)]
        if self._offsets:
            columns.append(torch.ones(len(s), 1, dtype=torch.float64))
        return Span(len(s)).extended(columns)

    def remember(self, id: str, program: RewardProgram) -> None:
        values = self._paid(program)
        if self.span.basis.shape[1] <= MAX_SPAN * len(values):
            self.span = self.span.extended([self._own(program)])
        self._values[id] = values
        self._effective[id] = _direction(self._with_potential(program))
        self._rest = {name: self.span.removed_from(paid) for name, paid in self._values.items()}

    def distances(self, program: RewardProgram) -> dict[str, float | None]:
        """Distance to each reward tried. None: neither pays anything here; left out: not to be told.

        Where neither pays more than shaping, only constants are surely alike: shaping may belong to a bonus that
        nobody has met yet.
        """
        values = self._paid(program)
        own = Span(len(values))
        own.basis = self.span.directions(self._own(program))
        rests = own.removed_from(torch.stack([self.span.removed_from(values), *self._rest.values()], 1))
        mine = unit(rests[:, 0], values)
        found: dict[str, float | None] = {}
        for id, rest in zip(self._rest, rests.T[1:], strict=True):
            theirs = unit(rest, self._values[id])
            if mine is not None and theirs is not None:
                found[id] = float((mine - theirs).norm())
            elif mine is not None or theirs is not None:
                found[id] = 1.0
            elif _constant(values) and _constant(self._values[id]):
                found[id] = None
        return found

    def paid_apart(self, program: RewardProgram) -> dict[str, float]:
        """Distance, in [0, 2], of what is really paid here to each reward tried, up to scale and offset."""
        mine = _direction(self._with_potential(program))
        return {id: float((mine - theirs).norm()) for id, theirs in self._effective.items()}

    def _paid(self, program: RewardProgram) -> Tensor:
        """(M,) without `potential()`."""
        return _finite(evaluate_rows(program, self._sample).total)

    def _with_potential(self, program: RewardProgram) -> Tensor:
        return _finite(evaluate_rows(program, self._sample).effective)

    def _own(self, program: RewardProgram) -> Tensor:
        s = self._sample
        return own_shaping(program, s.obs, s.action, s.next_obs, SHAPING_GAMMA)


def _finite(values: Tensor) -> Tensor:
    """Values that are not finite count as the mean."""
    values = values.double()
    finite = torch.isfinite(values)
    return torch.where(finite, values, values[finite].mean() if finite.any() else 0.0)


def _direction(values: Tensor) -> Tensor:
    """Values without scale and offset, (M,): mean removed and length one; zeros for a constant."""
    centred = values - values.mean()
    return torch.zeros_like(values) if _constant(values) else centred / centred.norm()


def _constant(values: Tensor) -> bool:
    return bool(values.std(correction=0) <= CONSTANT * values.mean().abs() + 1e-12)
