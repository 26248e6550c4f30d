"""Which terms go along with success on recorded episodes, and how large their signals are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from rewardsmith.design.builtin.signals import Signal, signals
from rewardsmith.design.builtin.terms import Term, Verb
from rewardsmith.types import Record, RewardInterface

MOST_PICKS = 4
LEAST_GAIN = 0.1  # rank correlation with what is still unexplained, below which picking stops
LEAST_EPISODES = 5  # fewer say nothing about an order
MOST_POSTURES = 3
UNUSUAL = 1.3  # how much further than usual a signal must be from its start where episodes end
GROUPS: dict[str, tuple[Verb, ...]] = {
    "all": ("more", "less", "high", "low", "near", "gain", "shed"),
    "progress": ("gain", "shed"),
    "bounded": ("high", "low", "near"),
}


class Transitions(Protocol):
    """What is needed of a bank: whole episodes as (M, ...) tensors."""

    @property
    def obs(self) -> Mapping[str, Tensor]: ...
    @property
    def action(self) -> Tensor: ...
    @property
    def next_obs(self) -> Mapping[str, Tensor]: ...
    @property
    def episode(self) -> Tensor: ...
    @property
    def t(self) -> Tensor: ...


class SignalStats(Record):
    """Size of a signal in recorded episodes. `best` is its mean in the better quarter of them."""

    low: float  # 5 % quantile
    high: float  # 95 % quantile
    start: float  # median at the first step
    best: float
    change: float  # mean absolute change over one step

    @property
    def spread(self) -> float:
        return max((self.high - self.low) / 2, 1e-3 * max(abs(self.low), abs(self.high)), 1e-6)


class Evidence(Record):
    """What recorded episodes say about terms.

    Attributes:
        scores: term key -> rank correlation of the term's episode sum with fitness, in [-1, 1]; for changes over a
            step with the start held fixed, since near starts often do well.
        stats: signal key -> sizes.
        picks: group of verbs -> term keys that explain fitness together, chosen one after the other.
        ended: share of episodes that ended before their time limit.
        postures: signal key -> mean distance from its start where episodes end, for signals that are unusually far
            from it there: losing them may be what ends an episode.
    """

    scores: dict[str, float] = Field(default_factory=dict)
    stats: dict[str, SignalStats] = Field(default_factory=dict)
    picks: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    ended: float = 0.0
    postures: dict[str, float] = Field(default_factory=dict)


def verbs_for(signal: Signal, interface: RewardInterface) -> tuple[Verb, ...]:
    """What can be wanted of `signal`."""
    if interface.feature(signal.feature).dtype != "float32":
        return ("more", "less")
    if signal.form == "square":
        return ("more", "less", "gain", "shed")
    return ("more", "less", "high", "low", "near", "gain", "shed")


def default_stats(signal: Signal, interface: RewardInterface) -> SignalStats:
    """Sizes from the declared range, where nothing was recorded; without a range, of order one."""
    spec = interface.feature(signal.feature)
    low = spec.low if spec.low is not None and np.isfinite(spec.low) else None
    high = spec.high if spec.high is not None and np.isfinite(spec.high) else None
    low, high = (-1.0, 1.0) if low is None or high is None or high <= low else (low, high)
    if signal.never_negative:
        top = max(abs(low), abs(high))
        low, high = 0.0, top**2 if signal.form == "square" else top
    middle = 0.0 if low <= 0 <= high else (low + high) / 2
    return SignalStats(low=low, high=high, start=middle, best=middle, change=(high - low) / 40)


def sized(verb: Verb, signal: Signal, stats: SignalStats, *, at_best: bool = False) -> Term:
    """A term with numbers that fit the sizes of its signal."""
    match verb:
        case "gain" | "shed":
            return Term(verb, signal, scale=max(stats.change, 1e-6))
        case "near":
            target = stats.best if at_best else stats.start
            negligible = abs(target) < 0.1 * stats.spread
            return Term(verb, signal, scale=stats.spread, target=0.0 if negligible else target)
        case "high" | "low":
            middle = (stats.low + stats.high) / 2
            far = abs(middle) > 2 * stats.spread  # tanh would be flat where the signal lives
            return Term(verb, signal, scale=2 * stats.spread, target=middle if far else 0.0)
    return Term(verb, signal, scale=max(stats.spread, abs(stats.low) / 4, abs(stats.high) / 4))


def screen_terms(
    interface: RewardInterface, bank: Transitions, episode_fitness: Sequence[float] | np.ndarray | Tensor
) -> Evidence:
    """Scores every term on recorded episodes.

    Args:
        episode_fitness: (E,) in the order of the episode numbers in the bank, higher is better. NaN is left out.

    Raises: ValueError: the bank has another number of episodes.
    """
    numbers, row_episode = torch.unique(bank.episode, return_inverse=True)
    fitness = np.asarray(episode_fitness, dtype=np.float64)
    if fitness.shape != (len(numbers),):
        raise ValueError(f"{len(numbers)} episodes are recorded, but fitness has shape {fitness.shape}")
    known = np.isfinite(fitness)
    good = torch.as_tensor(known & (fitness >= np.quantile(fitness[known], 0.75)) if known.any() else known)
    found = signals(interface)
    stats = {s.key: _stats(s, bank, good[row_episode]) for s in found}
    terminal = bank.next_obs["terminated"]
    ended = float(terminal.sum()) / max(len(numbers), 1)
    exact = [s for s in found if s.form == "entry" and interface.feature(s.feature).dtype == "float32"]
    postures = _postures(exact, stats, bank, terminal)
    if known.sum() < LEAST_EPISODES or np.ptp(fitness[known]) == 0:
        return Evidence(stats=stats, ended=ended, postures=postures)

    def ranks_of(values: Tensor) -> np.ndarray:
        sums = torch.zeros(len(numbers), dtype=torch.float64)
        return _normal_ranks(sums.index_add_(0, row_episode, torch.nan_to_num(values).double()).numpy()[known])

    first = (bank.t == 0).double()
    order = _normal_ranks(fitness[known])
    terms = [Term("alive"), Term("ending"), Term("effort")]
    ranks = {term.key: ranks_of(term.value(bank.obs, bank.action, bank.next_obs)) for term in terms}
    scores = {key: float(order @ r) for key, r in ranks.items()}
    menu: dict[str, tuple[Verb, np.ndarray]] = {}
    for signal in found:
        start = ranks_of(torch.nan_to_num(signal.value(bank.obs)).double() * first)
        for verb in verbs_for(signal, interface):
            term = sized(verb, signal, stats[signal.key], at_best=True)
            ranks_now = ranks_of(term.value(bank.obs, bank.action, bank.next_obs))
            score = _given(order, ranks_now, start) if verb in ("gain", "shed") else float(order @ ranks_now)
            scores[term.key] = score
            menu[term.key] = (verb, ranks_now * np.sign(score) if score * float(order @ ranks_now) < 0 else ranks_now)
    picks = {
        group: _picks(order, {k: r for k, (verb, r) in menu.items() if verb in verbs and scores[k] > LEAST_GAIN})
        for group, verbs in GROUPS.items()
    }
    scores = {key: round(score, 4) for key, score in scores.items()}
    return Evidence(scores=scores, stats=stats, picks=picks, ended=ended, postures=postures)


def _postures(
    found: Sequence[Signal], stats: Mapping[str, SignalStats], bank: Transitions, terminal: Tensor
) -> dict[str, float]:
    """The signals that are further from their start where episodes end than anywhere else, the clearest first."""
    if not bool(terminal.any()):
        return {}
    ratios: dict[str, tuple[float, float]] = {}
    for signal in found:
        away = (torch.nan_to_num(signal.value(bank.next_obs)).double() - stats[signal.key].start).abs()
        usual, at_end = float(away.mean()), float(away[terminal].mean())
        if usual > 0 and at_end > UNUSUAL * usual:
            ratios[signal.key] = (at_end / usual, at_end)
    best = sorted(ratios, key=lambda k: (-ratios[k][0], k))[:MOST_POSTURES]
    return {key: ratios[key][1] for key in best}


def _given(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Correlation of `a` and `b` with `c` held fixed; all of mean 0 and length 1."""
    ab, ac, bc = float(a @ b), float(a @ c), float(b @ c)
    rest = (1 - ac**2) * (1 - bc**2)
    return (ab - ac * bc) / rest**0.5 if rest > 1e-9 else 0.0


def _stats(signal: Signal, bank: Transitions, good_row: Tensor) -> SignalStats:
    now = torch.nan_to_num(signal.value(bank.obs)).double()
    after = torch.nan_to_num(signal.value(bank.next_obs)).double()
    low, high = np.quantile(after.numpy(), [0.05, 0.95])
    first = now[bank.t == bank.t.min()]
    best = after[good_row] if bool(good_row.any()) else after
    change = (after - now).abs().mean()
    return SignalStats(
        low=float(low), high=float(high), start=float(first.median()), best=float(best.mean()), change=float(change)
    )


def _normal_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of `values` with mean 0 and length 1, so that a dot product is a rank correlation; zeros if constant."""
    from scipy.stats import rankdata  # deferred: takes half a second to import, and only a run's first session screens

    ranks = rankdata(values) - (len(values) + 1) / 2
    length = np.linalg.norm(ranks)
    return ranks / length if length > 0 else ranks * 0.0


def _picks(order: np.ndarray, ranks: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Forward selection: the term that best explains what the terms before it left unexplained."""
    rest = order.copy()
    basis: list[np.ndarray] = []
    picks: list[str] = []
    for _ in range(min(MOST_PICKS, len(order) // 4)):
        gains = {key: float(rest @ r) for key, r in ranks.items() if key not in picks}
        key = max(gains, key=lambda k: (round(gains[k], 9), k), default=None)
        if key is None or gains[key] < LEAST_GAIN:
            break
        picks.append(key)
        new = ranks[key] - sum((float(ranks[key] @ b) * b for b in basis), np.zeros_like(order))
        length = np.linalg.norm(new)
        if length > 1e-9:
            basis.append(new / length)
            rest = rest - float(rest @ basis[-1]) * basis[-1]
    return tuple(picks)
