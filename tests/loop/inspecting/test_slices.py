"""The reward over two features: the numbers are the program's, what is held is held, dots are where states were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardsmith.envs import resolve_env
from rewardsmith.errors import UsageError
from rewardsmith.loop.inspecting.episodes import TOTAL, Transitions
from rewardsmith.loop.inspecting.slices import DOTS, GRIDS, MAX_CELLS, POTENTIAL, Seen, _affordable, slices
from rewardsmith.reward.compile import compile_reward
from rewardsmith.types import ActionSpec, FeatureSpec, RewardInterface
from tests.loop.inspecting.conftest import FURTHEST

INTERFACE = RewardInterface(
    features=(
        FeatureSpec(name="x", unit="m"),
        FeatureSpec(name="pair", shape=(2,)),
        FeatureSpec(name="count", dtype="int64"),
        FeatureSpec(name="still"),
        FeatureSpec(name="flag", dtype="bool"),
    ),
    action=ActionSpec(kind="continuous", shape=(2,), low=(-1.0, -1.0), high=(1.0, 1.0)),
)
REWARD = '''def compute_reward(obs, action, next_obs, *, w=3.0):
    """Reads x, pair[1], count, flag and the action."""
    near = w * next_obs["x"] + next_obs["pair"][:, 1] ** 2
    other = next_obs["count"].float() * action[:, 0] + next_obs["flag"].float()
    moved = 100.0 * (next_obs["x"] - obs["x"]) + 1000.0 * next_obs["terminated"].float()
    return near + other + moved, {"near": near, "other": other, "moved": moved}
'''


@pytest.fixture(scope="module")
def program(jail):
    found = compile_reward(REWARD, INTERFACE, jail).program
    assert found is not None
    return found


def seen(rows: int = 901, title: str = "states") -> Seen:
    """x from 0 to 9, its median 4.5; the others in step with it."""
    t = torch.linspace(0, 9, rows)
    state = {
        "x": t,
        "pair": torch.stack([t, -t / 2], 1),
        "count": torch.tensor([7] * (rows - 2) + [1, 2]),
        "still": torch.full((rows,), 2.5),
        "flag": t < 8,
    }
    after = state | {"terminated": torch.zeros(rows, dtype=torch.bool)}
    action = torch.stack([t / 10, torch.zeros(rows)], 1)
    return Seen(title, Transitions(state, action, after), {TOTAL: (10 * t).numpy(), "near": t.numpy()})


def test_grids_hold_the_numbers_of_the_program(program) -> None:
    found = slices(program, INTERFACE, [seen()])
    assert found is not None
    assert [axis.label for axis in found.axes] == ["x", "pair[0]", "pair[1]", "count", "flag"]  # "still" never varies
    assert found.quantities == (TOTAL, "moved", "near", "other")
    x, pair = found.axes[0], found.axes[2]
    total, moved, reads_near, other = found.still[0, 2]
    y, across = np.meshgrid(pair.grid, x.grid, indexing="ij")
    near = 3 * across + y**2
    np.testing.assert_allclose(reads_near, near, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(other, 7 * 0.45 + 1, rtol=1e-5)  # count, action and flag at their typical values
    assert (moved == 0).all()  # the same before and after, and the episode goes on
    np.testing.assert_allclose(total, near + 7 * 0.45 + 1, rtol=1e-4, atol=1e-4)
    from_there = found.moved[0, 2]  # from x = 4.5
    np.testing.assert_allclose(from_there[1], 100 * (across - 4.5), rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(from_there[2], near, rtol=1e-4, atol=1e-4)


def test_what_is_held_is_named(program) -> None:
    found = slices(program, INTERFACE, [seen()])
    assert found is not None
    held = {h.label: h.value for h in found.held}
    assert held == {"x": 4.5, "pair[0]": 4.5, "pair[1]": -2.25, "count": 7, "flag": 1}  # "still" is not read
    assert found.held[0].unit == "m"
    assert [(h.label, h.value) for h in found.action] == [("action[0]", pytest.approx(0.45)), ("action[1]", 0)]


def test_axes_reach_a_little_beyond_the_states_and_whole_numbers_stay_whole(program) -> None:
    found = slices(program, INTERFACE, [seen()])
    assert found is not None
    x, count = found.axes[0], found.axes[3]
    assert -1.5 < x.grid[0] < 0.1 and 8.9 < x.grid[-1] < 10.5 and len(x.grid) == GRIDS[0]
    assert (count.grid == np.round(count.grid)).all()
    assert all(axis.read for axis in found.axes)


def test_those_that_matter_most_come_first_unless_others_are_named(program) -> None:
    found = slices(program, INTERFACE, [seen()])
    assert found is not None and {found.axes[i].label for i in found.first} == {"x", "pair[1]"}
    named = slices(program, INTERFACE, [seen()], shown=["count", "pair[0]"])
    assert named is not None and [named.axes[i].label for i in named.first] == ["count", "pair[0]"]


def test_dots_are_recorded_states_with_what_they_were_paid(program) -> None:
    found = slices(program, INTERFACE, [seen(), seen(5, "few")])
    assert found is not None
    many, few = found.dots
    assert many.at.shape == (5, DOTS) and few.at.shape == (5, 5) and few.title == "few"
    np.testing.assert_allclose(many.paid[0], 10 * many.at[0], rtol=1e-5)
    assert np.isnan(few.paid[3]).all()  # nobody said what "other" paid


@pytest.mark.parametrize(
    ("shown", "said", "hint"),
    [
        (["x", "nothing"], "unknown feature 'nothing'.*Known: count, flag, pair\\[0\\]", ""),
        (["x", "pair"], "unknown feature 'pair'", r"pair\[0\]"),
        (["x", "still"], "still is the same in all recorded states", "--policy"),
        (["x", "x"], "two different features", "--features x,"),
        (["x"], "two different features", "--features x,"),
        (["x", "count", "pair[0]"], "two different features", ""),
    ],
)
def test_features_that_cannot_be_shown(program, shown, said, hint) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        slices(program, INTERFACE, [seen()], shown=shown)
    assert hint.replace("\\", "") in raised.value.hint


def test_one_number_is_no_map(jail) -> None:
    interface = RewardInterface(features=INTERFACE.features[:1], action=INTERFACE.action)
    code = 'def compute_reward(obs, action, next_obs):\n    x = next_obs["x"]\n    return x, {"x": x}\n'
    program = compile_reward(code, interface, jail).program
    assert program is not None and slices(program, interface, [seen()]) is None


def test_the_potential_is_a_map_of_its_own_and_memory_is_as_at_the_start(compiled) -> None:
    program, interface = compiled(FURTHEST), resolve_env("mountain_car_continuous").interface
    t = torch.linspace(-1, 0.5, 200)
    state = {f.name: t.clone() for f in interface.features}
    rows = Transitions(state, torch.zeros(200, 1), state | {"terminated": torch.zeros(200, dtype=torch.bool)})
    found = slices(program, interface, [Seen("states", rows, {})], shown=["position", "velocity"])
    assert found is not None and found.quantities == (TOTAL, "gain", POTENTIAL)
    i, k = found.first
    grid = found.still[min(i, k), max(i, k)]
    assert not found.moved  # it looks at no state before a step
    along = found.axes[i].grid if i < k else found.axes[i].grid[:, None]
    np.testing.assert_allclose(grid[1], np.broadcast_to(along + 2, grid[1].shape), rtol=1e-5)
    np.testing.assert_allclose(grid[2], np.broadcast_to(0.5 * along, grid[2].shape), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("axes", "quantities"), [(2, 2), (12, 9), (40, 3), (12, 60), (12, 257), (2, 257)])
def test_there_is_never_more_to_draw_than_a_page_holds(axes, quantities) -> None:
    count, cells = _affordable(axes, quantities)
    assert 2 <= count <= min(axes, 12) and cells in GRIDS
    assert count * (count - 1) // 2 * quantities * cells**2 <= MAX_CELLS
