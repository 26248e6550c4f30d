"""A reward learned from comparisons finds what the comparisons were made by, and says how well it did."""

from __future__ import annotations

import pytest
import torch

from rewardsmith.errors import UsageError
from rewardsmith.prefer.learned import HIDDEN, MEMBERS, Comparisons, LearnedReward, Segments, joined
from rewardsmith.types import ActionSpec, FeatureSpec, RewardInterface

FEATURES = (
    FeatureSpec(name="position", shape=(2,)),
    FeatureSpec(name="legs", dtype="bool"),
    FeatureSpec(name="message", shape=(8,), dtype="uint8"),
)
ARM = RewardInterface(features=FEATURES, action=ActionSpec(kind="continuous", shape=(1,), low=(-1.0,), high=(1.0,)))
TWO_CHOICES = ActionSpec(kind="multi_discrete", shape=(2,), nvec=(3, 2))
WIDTH = 4  # position 2, legs 1, action 1
LENGTH = 10
NOBODY = torch.arange(0)


def segments(count: int, seed: int = 0) -> Segments:
    """Steady positions far from 0 and of very different sizes, each segment about some point of its own."""
    rng = torch.Generator().manual_seed(seed)
    steps = torch.randn(count, 1, WIDTH, generator=rng) + 0.3 * torch.randn(count, LENGTH, WIDTH, generator=rng)
    steps = steps * torch.tensor([100.0, 0.01, 1.0, 1.0]) + torch.tensor([500.0, 0.0, 0.0, 0.0])
    return Segments(steps, torch.ones(count, LENGTH, dtype=torch.bool))


def linear(inputs: torch.Tensor) -> torch.Tensor:
    """The true reward: the first position is good, the action costs."""
    return 0.01 * (inputs[..., 0] - 500.0) - 0.5 * inputs[..., 3]


def compared(count: int, seed: int = 0) -> Comparisons:
    first, second = segments(count, 2 * seed), segments(count, 2 * seed + 1)
    gap = linear(first.inputs).sum(1) - linear(second.inputs).sum(1)
    return Comparisons(first, second, (gap > 0).float())


def fitted(seen: Comparisons, seed: int = 0, steps: int = 150) -> LearnedReward:
    learned = LearnedReward(ARM, seed=seed)
    learned.fit(seen, steps=steps)
    return learned


def ranks(values: torch.Tensor) -> torch.Tensor:
    return values.argsort().argsort().double()


def paid(learned: LearnedReward, inputs: torch.Tensor) -> torch.Tensor:
    """What the program pays for steps (N, WIDTH)."""
    obs = {"position": inputs[:, :2], "legs": inputs[:, 2], "message": torch.zeros(len(inputs), 8)}
    return learned(obs, inputs[:, 3:], {}).total


# --- learning ---------------------------------------------------------------------------------------------------------


def test_it_ranks_held_out_segments_as_the_reward_that_it_was_taught() -> None:
    learned, new = fitted(compared(300)), segments(200, seed=99)
    sums = paid(learned, new.inputs.flatten(0, 1)).view(200, LENGTH).sum(1)
    both = torch.corrcoef(torch.stack([ranks(sums), ranks(linear(new.inputs).sum(1))]))
    assert both[0, 1] > 0.95
    assert (learned.accuracy(compared(300, seed=9)) or 0) > 0.9


def test_labels_without_sense_teach_nothing_about_others() -> None:
    seen = compared(300)
    nonsense = seen._replace(preferred=torch.rand(300, generator=torch.Generator().manual_seed(1)).round())
    assert 0.3 < (fitted(nonsense).accuracy(compared(300, seed=9)) or 0) < 0.7
    turned = fitted(seen._replace(preferred=1 - seen.preferred))
    assert (turned.accuracy(compared(300, seed=9)) or 1) < 0.1


def test_more_comparisons_tell_more() -> None:
    few, many = fitted(compared(8)), fitted(compared(300))
    held_out = compared(300, seed=9)
    assert (many.accuracy(held_out) or 0) > (few.accuracy(held_out) or 0)


def test_all_layers_of_all_members_learn_and_differ() -> None:
    seen = compared(100)
    start, end = fitted(seen, steps=1), fitted(seen, steps=20)
    assert len(end._layers) == len(HIDDEN) + 1
    for (w0, b0), (w1, b1) in zip(start._layers, end._layers, strict=True):
        for before, after in ((w0, w1), (b0, b1)):
            assert len(after) == MEMBERS
            assert all(not torch.equal(before[m], after[m]) for m in range(MEMBERS)), "no gradient came here"
        assert not torch.equal(w1[0], w1[1]), "members that are the same never disagree"
    assert LearnedReward(ARM).fit(seen, steps=200) < LearnedReward(ARM).fit(seen, steps=2)


def test_ties_pull_together_what_they_compare() -> None:
    first, second = segments(100, 0), segments(100, 1)
    tied = fitted(Comparisons(first, second, torch.full((100,), 0.5)), steps=300)
    decided = fitted(compared(100), steps=300)
    gap = lambda learned: float((learned.preference(first, second) - 0.5).abs().mean())
    assert gap(tied) < 0.15 < 0.3 < gap(decided)
    assert tied.accuracy(Comparisons(first, second, torch.full((100,), 0.5))) is None, "ties have no right answer"


def test_steps_after_the_end_of_an_episode_do_not_count() -> None:
    seen = compared(50)
    counted = torch.arange(LENGTH).expand(50, -1) < 4
    cut = lambda side, beyond: Segments(torch.where(counted[..., None], side.inputs, beyond), counted)
    made = [
        fitted(Comparisons(cut(seen.first, beyond), cut(seen.second, beyond), seen.preferred), steps=20)
        for beyond in (torch.tensor(0.0), torch.tensor(1e6))
    ]
    new = segments(20, seed=5).inputs.flatten(0, 1)
    assert torch.equal(paid(made[0], new), paid(made[1], new))


def test_who_lives_longer_can_be_what_is_preferred() -> None:
    """Segments that show the same and differ in length alone: every step must be worth something."""
    steps = torch.zeros(40, LENGTH, WIDTH)
    long, short = torch.ones(40, LENGTH, dtype=torch.bool), torch.arange(LENGTH).expand(40, -1) < 3
    learned = fitted(Comparisons(Segments(steps, long), Segments(steps, short), torch.ones(40)))
    assert paid(learned, torch.zeros(5, WIDTH)).min() > 0.1


def test_it_disagrees_most_about_what_it_has_not_seen() -> None:
    learned = fitted(compared(300))
    near = segments(100, seed=7)
    strange = near._replace(inputs=near.inputs * torch.tensor([1.0, -8.0, 8.0, 1.0]))
    far = learned.disagreement(strange, segments(100, seed=8)).mean()
    assert far > learned.disagreement(near, segments(100, seed=8)).mean()
    assert learned.preference(near, strange).shape == (MEMBERS, 100)


# --- the same again ---------------------------------------------------------------------------------------------------


def test_it_is_a_function_of_its_seed_and_the_comparisons() -> None:
    new, seen = segments(30, seed=3).inputs.flatten(0, 1), compared(60)
    once = fitted(seen, seed=4, steps=30)
    again = fitted(compared(20), seed=4, steps=30)
    again.fit(seen, steps=30)  # what it knew before is gone
    torch.rand(3)  # the global stream has no part in it
    assert torch.equal(paid(once, new), paid(again, new))
    assert not torch.equal(paid(once, new), paid(fitted(seen, seed=5, steps=30), new))


def test_sets_of_comparisons_can_be_joined() -> None:
    whole = compared(40)
    sides = lambda rows: Comparisons(whole.first.at(rows), whole.second.at(rows), whole.preferred[rows])
    parts = joined([sides(torch.arange(15)), sides(torch.arange(15, 40))])
    assert torch.equal(parts.first.inputs, whole.first.inputs) and torch.equal(parts.preferred, whole.preferred)


# --- as a reward program ----------------------------------------------------------------------------------------------


def test_it_pays_nothing_before_it_was_fitted() -> None:
    learned = LearnedReward(ARM)
    assert paid(learned, torch.randn(6, WIDTH)).tolist() == [0.0] * 6
    assert learned.accuracy(compared(10)) == 0.5 and not learned.disagreement(segments(4), segments(4, 1)).any()


def test_rewards_stay_within_one_even_far_from_all_comparisons() -> None:
    learned = fitted(compared(60), steps=30)
    far = paid(learned, 1e30 * torch.ones(4, WIDTH))
    assert far.abs().max() <= 1 and torch.isfinite(far).all()


@pytest.mark.parametrize(
    ("action", "given", "seen"),
    [
        (ActionSpec(kind="discrete", n=3), [2, 0], [[0, 0, 1], [1, 0, 0]]),
        (TWO_CHOICES, [[1, 1], [0, 0]], [[0, 1, 0, 0, 1], [1, 0, 0, 1, 0]]),
    ],
)
def test_choices_are_shown_one_by_one(action, given, seen) -> None:
    learned = LearnedReward(RewardInterface(features=(FeatureSpec(name="x"),), action=action))
    inputs = learned.inputs({"x": torch.tensor([7.0, 8.0])}, torch.tensor(given))
    assert inputs.tolist() == [[x, *row] for x, row in zip((7.0, 8.0), seen, strict=True)]
    assert learned.width == inputs.shape[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c._replace(preferred=c.preferred[:-1]), "shapes"),
        (lambda c: c._replace(first=c.first._replace(inputs=c.first.inputs[..., :-1])), "shapes"),
        (lambda c: c._replace(first=c.first._replace(counted=c.first.counted[:, :-1])), "shapes"),
        (lambda c: c._replace(second=c.second._replace(inputs=c.second.inputs[0])), "shapes"),
        (lambda c: c._replace(second=c.second._replace(counted=c.second.counted & False)), "no steps"),
        (lambda c: c._replace(second=c.second._replace(inputs=c.second.inputs / 0)), "not finite"),
        (lambda c: c._replace(preferred=c.preferred * 2), "preference"),
        (lambda c: Comparisons(c.first.at(NOBODY), c.second.at(NOBODY), c.preferred[:0]), "no comparisons"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(change, words) -> None:
    with pytest.raises(UsageError, match=words):
        LearnedReward(ARM).fit(change(compared(6)))
