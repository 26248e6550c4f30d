"""Banks: whole episodes, the same whatever the rows, saved without pickle, refused under another interface."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch

from rewardsmith.bank import Bank, concatenate, random_action, record, record_bank
from rewardsmith.envs import resolve_env
from rewardsmith.errors import EnvironmentFault, RunError, UsageError
from rewardsmith.types import ActionSpec


@pytest.fixture(scope="module")
def hopper():
    return resolve_env("hopper")


@pytest.fixture(scope="module")
def bank(hopper):
    return record_bank(hopper, episodes=5, seed=3)


def equal(a: Bank, b: Bank) -> bool:
    pairs = [(a.obs[key], b.obs[key]) for key in a.obs] + [(a.next_obs[key], b.next_obs[key]) for key in a.next_obs]
    pairs += [
        (getattr(a, key), getattr(b, key)) for key in ("action", "truncated", "episode", "t", "fitness", "success")
    ]
    return list(a.obs) == list(b.obs) and all(torch.equal(x, y) for x, y in pairs)


def test_a_bank_holds_whole_episodes(hopper, bank):
    assert bank.episodes == 5 and len(bank) == len(bank.t) == len(bank.action)
    assert set(bank.next_obs) == set(bank.obs) | {"terminated"} and "terminated" not in bank.obs
    for k in range(5):
        rows = bank.rows(k)
        assert (bank.episode[rows] == k).all()
        length = rows.stop - rows.start
        assert torch.equal(bank.t[rows], torch.arange(length))
        ends = bank.terminated[rows] | bank.truncated[rows]
        assert ends[-1] and not ends[:-1].any()
        for name in bank.obs:  # what follows a step is what precedes the next
            assert torch.equal(bank.next_obs[name][rows][:-1], bank.obs[name][rows][1:])
    assert bank.rows(4).stop == len(bank)
    with pytest.raises(IndexError):
        bank.rows(5)
    assert bank.env_steps >= len(bank)
    assert bank.interface == hopper.interface.digest
    assert bank.policy == "random" and bank.goal == hopper.metric(None).about


def test_episodes_are_scored_as_they_happened(bank):
    for k in range(bank.episodes):
        assert bank.fitness[k].item() == pytest.approx(bank.next_obs["torso_x"][bank.rows(k)][-1].item())
    assert torch.equal(bank.success, torch.zeros(5, dtype=torch.float64))


def test_the_number_of_rows_does_not_matter(hopper, bank, monkeypatch):
    monkeypatch.setattr(record, "ROWS", 2)
    assert equal(record_bank(hopper, episodes=5, seed=3), bank)


def test_other_seeds_give_other_episodes(hopper, bank):
    assert not equal(record_bank(hopper, episodes=5, seed=4), bank)


def test_more_episodes_extend_a_bank(hopper, bank):
    longer = record_bank(hopper, episodes=6, seed=3)
    assert torch.equal(longer.action[: len(bank)], bank.action)


def test_a_number_of_transitions_is_reached_with_whole_episodes(hopper):
    one = record_bank(hopper, transitions=1, seed=3)
    assert one.episodes == 1
    many = record_bank(hopper, transitions=100, seed=3)
    assert len(many) >= 100 > len(many) - int((many.episode == many.episodes - 1).sum())


def test_time_limits_are_truncations():
    environment = resolve_env("reacher")
    bank = record_bank(environment, episodes=3, seed=0)
    assert len(bank) == 150
    assert torch.nonzero(bank.truncated)[:, 0].tolist() == [49, 99, 149]
    assert not bank.terminated.any()


def test_a_given_policy_acts(hopper):
    seen = []

    def policy(obs):
        seen.append(obs.shape)
        return torch.full((len(obs), 3), 0.25)

    bank = record_bank(hopper, episodes=2, seed=0, policy=policy, policy_name="still")
    assert (bank.action == 0.25).all() and bank.policy == "still"
    assert set(seen) == {torch.Size([2, 11])}


def test_discrete_environments_and_native_metrics():
    bank = record_bank(resolve_env("CartPole-v1"), episodes=4, seed=0)
    assert bank.action.dtype == torch.int64 and bank.action.shape == (len(bank),)
    assert bank.fitness.tolist() == [bank.rows(k).stop - bank.rows(k).start for k in range(4)]


@pytest.mark.parametrize("kwargs", [{}, {"episodes": 1, "transitions": 1}, {"episodes": 0}, {"transitions": -1}])
def test_the_size_must_make_sense(hopper, kwargs):
    with pytest.raises(UsageError, match="number of episodes or of transitions"):
        record_bank(hopper, seed=0, **kwargs)


def test_saved_and_loaded_without_pickle(hopper, bank, tmp_path):
    path = tmp_path / "bank.npz"
    bank.save(path)
    loaded = Bank.load(path, hopper.interface)
    assert equal(loaded, bank)
    assert (loaded.env, loaded.policy, loaded.goal, loaded.env_steps) == (
        bank.env,
        bank.policy,
        bank.goal,
        bank.env_steps,
    )
    assert [p.name for p in tmp_path.iterdir()] == ["bank.npz"]
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                np.lib.format.read_array(file, allow_pickle=False)


def test_another_interface_is_refused(bank, tmp_path):
    path = tmp_path / "bank.npz"
    bank.save(path)
    with pytest.raises(RunError, match="another reward interface") as caught:
        Bank.load(path, resolve_env("reacher").interface)
    assert "record it again" in caught.value.hint


def _edit(path, **changes):
    with np.load(path) as arrays:
        data = {**dict(arrays), **changes}
    np.savez(path, **{key: value for key, value in data.items() if value is not None})


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "text", "format", "array", "object"])
def test_damaged_files_are_refused(hopper, bank, tmp_path, damage):
    path = tmp_path / "bank.npz"
    bank.save(path)
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "text":
        path.write_text("not a bank")
    elif damage == "format":
        _edit(path, about=np.array(json.dumps({"format": 99})))
    elif damage == "array":
        _edit(path, t=None)
    else:
        np.savez(path, about=np.array({"a": object()}, dtype=object))
    with pytest.raises(RunError) as caught:
        Bank.load(path, hopper.interface)
    assert caught.value.hint


def test_banks_join(bank):
    both = concatenate([bank, bank])
    assert both.episodes == 10 and len(both) == 2 * len(bank)
    assert both.env_steps == 2 * bank.env_steps
    assert torch.equal(both.action[both.rows(7)], bank.action[bank.rows(2)])
    assert equal(concatenate([bank]), bank)
    with pytest.raises(RunError):
        concatenate([])
    with pytest.raises(RunError):
        concatenate([bank, record_bank(resolve_env("reacher"), episodes=1, seed=0)])


@pytest.mark.parametrize(
    ("spec", "shape", "dtype"),
    [
        (ActionSpec(kind="discrete", n=3), (), torch.int64),
        (ActionSpec(kind="multi_discrete", shape=(2,), nvec=(2, 5)), (2,), torch.int64),
        (ActionSpec(kind="continuous", shape=(2,), low=(-1, 0), high=(1, 3)), (2,), torch.float32),
        (ActionSpec(kind="continuous", shape=(2,)), (2,), torch.float32),
    ],
)
def test_random_actions_fit_their_spec(spec, shape, dtype):
    rng = np.random.default_rng(0)
    drawn = torch.stack([random_action(spec, rng) for _ in range(200)])
    assert drawn.shape == (200, *shape) and drawn.dtype == dtype
    if spec.low is not None and spec.high is not None:
        assert (drawn >= torch.tensor(spec.low)).all() and (drawn <= torch.tensor(spec.high)).all()
    if spec.n:
        assert set(drawn.tolist()) == {0, 1, 2}


def test_a_native_reward_that_is_no_number_is_the_environments_fault():
    environment = resolve_env("tests.envs.toys:ToyNanReward-v0")
    with pytest.raises(
        EnvironmentFault, match=r"ToyNanReward-v0 gave a reward that is not finite \(nan\) in"
    ) as caught:
        record_bank(environment, transitions=100, seed=0)
    assert "step returns" in caught.value.hint


def test_episodes_in_which_the_simulation_broke_down_are_told_once(caplog):
    def breaking(obs):
        return torch.where(obs[:, :1] > 0, 1.0, 0.1)  # the toy's observation is NaN after a full push

    bank = record_bank(resolve_env("tests.envs.toys:ToyWalk-v0"), episodes=20, seed=0, policy=breaking)
    broken = int((bank.t[bank.terminated] < 19).sum())
    assert 0 < broken < 20
    [line] = [record.getMessage() for record in caplog.records if "broke down" in record.getMessage()]
    assert line.startswith(f"in {broken} of 20 recorded episodes of tests.envs.toys:ToyWalk-v0 (policy)")
    caplog.clear()
    record_bank(resolve_env("tests.envs.toys:ToyWalk-v0"), episodes=3, seed=0, policy=lambda obs: 0 * obs[:, :1])
    assert not caplog.records
