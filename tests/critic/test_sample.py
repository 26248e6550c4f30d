"""Where transitions come from: the bank, and draws within feature ranges."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.critic.sample import draw_action, draw_feature, edges, from_bank, synthetic
from rewardsmith.types import ActionSpec, FeatureSpec
from tests.critic.worlds import INTERFACE, make_bank


def feature(**options):
    return FeatureSpec(name="f", **options)


def draws(spec, rows=4000):
    return draw_feature(spec, rows, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    [
        (feature(low=-1, high=3), -1, 3),
        (feature(low=2), 2, 8),
        (feature(high=2), -4, 2),
        (feature(), -6, 6),
        (feature(low=-3.4e38, high=3.4e38), -6, 6),
        (feature(dtype="int64", low=-2, high=5), -2, 5),
        (feature(dtype="int64"), 0, 9),
        (feature(dtype="int64", high=-5), -14, -5),
        (feature(dtype="uint8"), 0, 255),
        (feature(dtype="uint8", low=-5, high=300), 0, 255),
        (feature(dtype="bool"), 0, 1),
        (feature(low=1, high=1), 1, 1),
    ],
)
def test_draws_fill_the_range(spec, low, high):
    values = draws(spec).double()
    assert low <= values.min() and values.max() <= high
    if spec.low is not None and spec.high is not None and spec.high < 1e6:
        assert values.max() - values.min() >= 0.9 * (high - low)


def test_unbounded_draws_are_normal():
    values = draws(feature(shape=(3,)))
    assert values.shape == (4000, 3)
    assert abs(float(values.mean())) < 0.05
    assert abs(float(values.std()) - 1) < 0.05


@pytest.mark.parametrize(
    ("spec", "shape", "dtype"),
    [
        (ActionSpec(kind="continuous", shape=(3,), low=(-1.0,) * 3, high=(1.0,) * 3), (50, 3), torch.float32),
        (ActionSpec(kind="continuous", shape=(3,)), (50, 3), torch.float32),
        (ActionSpec(kind="discrete", n=4), (50,), torch.int64),
        (ActionSpec(kind="multi_discrete", shape=(2,), nvec=(3, 2)), (50, 2), torch.int64),
    ],
)
def test_actions_look_as_rewards_see_them(spec, shape, dtype):
    action = draw_action(spec, 50, torch.Generator().manual_seed(0))
    assert (tuple(action.shape), action.dtype) == (shape, dtype)


def test_synthetic_transitions_have_the_interface_dtypes_and_are_the_same_every_time():
    one, two = synthetic(INTERFACE), synthetic(INTERFACE)
    assert one.obs["room"].dtype == torch.int64
    assert one.next_obs["terminated"].dtype == torch.bool
    assert bool(one.terminated.any()) and bool(one.truncated.any())
    assert not bool((one.terminated & one.truncated).any())
    assert all(torch.equal(one.obs[name], two.obs[name]) for name in one.obs)
    assert not torch.equal(one.obs["x"], one.next_obs["x"])


def test_edges_are_the_corners():
    corners = edges(INTERFACE)
    assert corners.obs["x"].tolist() == [0.0, -2.0, 2.0, -2.0]
    assert corners.next_obs["x"].tolist() == [0.0, -2.0, 2.0, 2.0]
    assert corners.obs["v"].tolist() == [[0.0] * 2, [-3.0] * 2, [3.0] * 2, [-3.0] * 2]
    assert corners.obs["room"].tolist() == [0, 0, 3, 0]
    assert corners.obs["room"].dtype == torch.int64


# --- banks


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 200))
def test_a_large_bank_is_cut_to_whole_episodes(lengths, limit):
    bank = make_bank(lengths, success=[float(n % 2) for n in range(len(lengths))])
    sample = from_bank(bank, limit=limit)
    assert len(sample) <= limit or len(sample) == len(bank)
    assert len(sample) >= 1
    kept = torch.unique_consecutive(sample.episode).tolist()
    assert sample.lengths.tolist() == [lengths[e] for e in kept] or len(kept) == 1
    assert torch.equal(sample.success, (sample.episode % 2).float())


def test_time_major_pads_with_the_last_row():
    sample = from_bank(make_bank([3, 1, 2]))
    assert sample.time_major().tolist() == [[0, 3, 4], [1, 3, 5], [2, 3, 5]]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(1, 10), st.integers(1, 100))
def test_heads(lengths, steps, cells):
    head = from_bank(make_bank(lengths)).heads(steps, cells)
    longest = min(steps, max(lengths))
    assert len(head.lengths) == min(max(1, cells // longest), len(lengths))
    assert int(head.t.max()) < steps
    assert all(
        n == min(steps, lengths[e]) for e, n in zip(head.episode.unique().tolist(), head.lengths.tolist(), strict=True)
    )


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_spread_keeps_order(count):
    sample = from_bank(make_bank([10, 20]))
    rows = sample.spread(count)
    assert len(rows) == min(count, 30)
    assert torch.equal(rows.episode, rows.episode.sort()[0])


def test_per_episode():
    sample = from_bank(make_bank([2, 3]))
    assert sample.per_episode(torch.tensor([1.0, 3.0, 1.0, 1.0, 4.0])).tolist() == [2.0, 2.0]
