"""HERON's comparisons and what is learned from them."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from rewardsmith.errors import UsageError
from rewardsmith.prefer.hierarchy import Pairs, learn, margins, preferences


def drawn(items: int = 60, levels: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(items, levels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def won(pairs: Pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.better.tolist(), pairs.worse.tolist(), strict=True))


def test_a_level_decides_what_those_above_leave_open() -> None:
    signals = torch.tensor([[1.0, 0.0, 5.0], [1.0, 9.0, 1.0], [0.0, 99.0, 0.0], [1.0, 0.5, 4.0]])
    pairs = preferences(signals, (1, 1, -1), torch.tensor([0.0, 1.0, 0.0]))
    # 2 loses on the first level, whatever it has on the second; 0 and 3 are equal there, and less is better on the last
    assert won(pairs) == {(0, 2), (1, 2), (3, 2), (1, 0), (1, 3), (3, 0)}
    assert pairs.decided == (3, 2, 1) and pairs.ties == 0


def test_all_pairs_as_the_definition_says() -> None:
    signals, signs = drawn(25), (1, -1, 1)
    signals[:, 0] = signals[:, 0].round()
    least = margins(signals)

    def beats(a: Tensor, b: Tensor) -> bool:
        for x, y, sign, margin in zip(a, b, signs, least, strict=True):
            if abs(x - y) > margin:
                return bool(sign * (x - y) > 0)
        return False

    expected = {(a, b) for a, b in itertools.permutations(range(25), 2) if beats(signals[a], signals[b])}
    pairs = preferences(signals, signs, least)
    assert won(pairs) == expected
    assert pairs.ties == 25 * 24 // 2 - len(expected) > 0


@pytest.mark.parametrize("factor", [1e-3, 0.37, 1.0, 1e3])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_scale_and_zero_of_a_signal_do_not_matter(factor: float, level: int) -> None:
    signals = drawn(200)
    signals[:, 0] = (signals[:, 0] * 2).round()  # many items are equal on the first level
    moved = signals.clone()
    moved[:, level] = moved[:, level] * factor + 7.3
    before, after = (preferences(s, (1, 1, -1), margins(s, 0.8)) for s in (signals, moved))
    assert torch.equal(before.better, after.better) and torch.equal(before.worse, after.worse)
    assert before.decided == after.decided and before.decided[2] > 0


def test_margins_go_from_lexicographic_to_the_last_signal_alone() -> None:
    signals = drawn(30, levels=2)
    pairs = preferences(signals, (1, 1), torch.zeros(2))
    assert pairs.decided == (435, 0)
    assert bool((signals[pairs.better, 0] > signals[pairs.worse, 0]).all())
    pairs = preferences(signals, (1, 1), torch.tensor([1e9, 0.0]))
    assert pairs.decided == (0, 435)
    assert bool((signals[pairs.better, 1] > signals[pairs.worse, 1]).all())


def test_ties_are_left_out() -> None:
    pairs = preferences(torch.tensor([[1.0], [1.0], [2.0]]), (1,), torch.tensor([0.0]))
    assert won(pairs) == {(2, 0), (2, 1)} and pairs.ties == 1


def test_cycles_are_counted() -> None:
    """Rock, paper, scissors: each next one is better on the first level only by jumping two places."""
    signals = torch.tensor([[0.0, 3.0], [1.0, 2.0], [2.0, 1.0]])  # 2 beats 0 above; 0 beats 1 and 1 beats 2 below
    assert preferences(signals, (1, 1), torch.tensor([1.5, 0.0])).intransitive == 1.0
    assert preferences(signals, (1, 1), torch.tensor([0.0, 0.0])).intransitive == 0.0
    unlinked = preferences(signals[:2], (1, 1), torch.zeros(2)).intransitive
    assert unlinked != unlinked


def test_the_rate_of_cycles_is_that_of_counting_triples() -> None:
    pairs = preferences(drawn(40, levels=2), (1, 1), torch.tensor([0.7, 0.3]))
    wins = won(pairs)
    linked = cycles = 0
    for trio in itertools.combinations(range(40), 3):
        found = [(a, b) for a, b in itertools.permutations(trio, 2) if (a, b) in wins]
        linked += len(found) == 3
        cycles += len(found) == 3 and len({winner for winner, _ in found}) == 3
    assert pairs.intransitive == pytest.approx(cycles / linked) and cycles > 0


@pytest.mark.parametrize(
    ("signs", "least", "value"),
    [((1,), [0.0, 0.0], 0.0), ((1, 2), [0.0, 0.0], 0.0), ((1, 1), [0.0, -1.0], 0.0), ((1, 1), [0.0], 0.0),
     ((1, 1), [0.0, 0.0], float("nan"))],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(signs: tuple[int, ...], least: list[float], value: float) -> None:
    with pytest.raises(UsageError):
        preferences(torch.full((3, 2), value), signs, torch.tensor(least))


# --- learning --------------------------------------------------------------------------------------------------------


def test_weights_of_terms_are_recovered_from_a_single_signal() -> None:
    features = drawn(150).float()
    true = torch.tensor([2.0, -1.0, 0.5])
    pairs = preferences((features @ true)[:, None], (1,), torch.tensor([0.0]))
    scorer, accuracy = learn(features, pairs, hidden=(), steps=400, learning_rate=0.05)
    weights = scorer.weights()
    assert accuracy > 0.98
    torch.testing.assert_close(weights / weights.norm(), true / true.norm(), rtol=0.05, atol=0.03)
    scores = scorer(features).detach()
    assert float(scores.mean()) == pytest.approx(0, abs=1e-4)
    assert float(scores.std(correction=0)) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(scores, (features - features.mean(0)) @ weights, rtol=1e-3, atol=1e-3)


def test_the_learned_reward_is_the_same_whatever_the_scale_of_a_signal() -> None:
    features = drawn(80, levels=4).float()
    signals = torch.stack([(features[:, 0] > 0.5).double(), -(features[:, 1:3] ** 2).sum(1).double()], 1)
    scaled = (signals, signals * torch.tensor([1.0, 1e3]), signals * torch.tensor([1e-3, 1.0]) - 5)
    ways = [learn(features, preferences(s, (1, 1), margins(s, 0.2)), hidden=(32,), steps=200) for s in scaled]
    for other in ways[1:]:
        assert torch.equal(ways[0].scorer(features), other.scorer(features))
    assert ways[0].accuracy > 0.85


def test_items_of_several_steps_teach_what_to_pay_for_a_step() -> None:
    """Items are judged by how often a hidden event happened in them; the scorer has to find out which step it was."""
    features = drawn(120 * 5, levels=2).float().view(120, 5, 2)
    events = features[..., 0] > 0.5
    pairs = preferences(events.sum(1, dtype=torch.float64)[:, None], (1,), torch.tensor([0.0]))
    scorer, accuracy = learn(features, pairs, hidden=(32,), steps=300)
    scores = scorer(features).detach()
    assert accuracy > 0.85 and scores.shape == (120, 5)
    assert float(scores[events].mean() - scores[~events].mean()) > 1.0  # deviations


def test_what_cannot_be_learned_from_is_refused() -> None:
    pairs = preferences(torch.zeros(3, 1), (1,), torch.zeros(1))
    with pytest.raises(UsageError, match="no pair"):
        learn(torch.zeros(3, 2), pairs)
    pairs = preferences(torch.arange(3.0)[:, None], (1,), torch.zeros(1))
    with pytest.raises(UsageError, match="beyond"):
        learn(torch.zeros(2, 2), pairs)
    with pytest.raises(UsageError, match="hidden layers"):
        learn(drawn(3).float(), pairs, hidden=(8,), steps=1).scorer.weights()
