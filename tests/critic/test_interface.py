"""`interface.json`: what is accepted, and errors that name the key."""

from __future__ import annotations

import json
import os

import pytest

from rewardsmith.critic.interface import interface_from_json, parse_interface
from rewardsmith.errors import UsageError

GOOD = {
    "obs": {
        "ee": {"shape": [3], "dtype": "float32", "low": -1, "high": 1, "about": "hand", "unit": "m"},
        "grip": {"shape": []},
        "free": {"shape": [2, 2], "low": None, "high": float("inf")},
        "text": {"shape": [80], "dtype": "uint8"},
        "door": {"shape": [], "dtype": "bool"},
        "count": {"shape": [1], "dtype": "int64", "low": 0, "high": 9},
    },
    "action": {"shape": [4], "low": -1, "high": [1, 2, 3, 4]},
}


def written(tmp_path, content) -> object:
    path = tmp_path / "interface.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return interface_from_json(path)


def test_everything_is_read(tmp_path):
    interface = written(tmp_path, GOOD)
    assert [f.name for f in interface.features] == list(GOOD["obs"])
    hand = interface.feature("ee")
    assert (hand.shape, hand.dtype, hand.low, hand.high, hand.about, hand.unit) == ((3,), "float32", -1, 1, "hand", "m")
    assert interface.feature("grip").shape == ()
    assert interface.feature("free").low is interface.feature("free").high is None
    assert interface.action.kind == "continuous"
    assert interface.action.low == (-1.0,) * 4
    assert interface.action.high == (1.0, 2.0, 3.0, 4.0)


@pytest.mark.parametrize(
    ("action", "kind", "shape"),
    [({"n": 4}, "discrete", ()), ({"nvec": [3, 2]}, "multi_discrete", (2,)), ({"shape": [2]}, "continuous", (2,))],
)
def test_actions(action, kind, shape):
    spec = parse_interface({"obs": GOOD["obs"], "action": action}).action
    assert (spec.kind, spec.shape) == (kind, shape)


def with_feature(**spec):
    return {"obs": {"ee": {"shape": [3], **spec}}, "action": {"n": 2}}


def with_action(action):
    return {"obs": {"ee": {"shape": [3]}}, "action": action}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "expected an object, got a list"),
        ({}, "'obs' is missing"),
        ({"obs": {}, "action": {"n": 1}}, "at least one feature"),
        ({"obs": {"a": {"shape": []}}}, "'action' is missing"),
        ({"obs": {"a": {"shape": []}}, "action": {"n": 1}, "actions": 1}, "did you mean action"),
        ({"obs": {"a": []}, "action": {"n": 1}}, "obs.a: expected an object"),
        ({"obs": {"a b": {"shape": []}}, "action": {"n": 1}}, "'a b' cannot be a feature name"),
        ({"obs": {"terminated": {"shape": []}}, "action": {"n": 1}}, "obs.terminated: this name is taken"),
        ({"obs": {"a": {}}, "action": {"n": 1}}, "obs.a.shape is missing"),
        (with_feature(shape=3), "obs.ee.shape: expected a list, got 3"),
        (with_feature(shape=[3, 0]), "obs.ee.shape[1]: expected a whole number"),
        (with_feature(shape=[True]), "obs.ee.shape[0]"),
        (with_feature(shape=[100, 100, 100]), "obs: more than 100,000 numbers a row"),
        (with_feature(shape=[1] * 9), "obs.ee.shape: more than 8 dimensions"),
        (with_feature(shape=[10**30]), "obs.ee.shape[0]: more than"),
        (with_action({"n": 10**30}), "action.n: more than"),
        (with_action({"nvec": [2, 10**30]}), "action.nvec[1]: more than"),
        (with_feature(dtype="float64"), "unknown dtype 'float64'; did you mean float32"),
        (with_feature(dtype=["a"]), "obs.ee.dtype"),
        (with_feature(low="1"), "obs.ee.low: expected a number or null, got '1'"),
        (with_feature(low=True), "obs.ee.low"),
        (with_feature(low=float("nan")), "obs.ee.low"),
        (with_feature(low=1, high=0), "obs.ee: low 1 is above high 0"),
        (with_feature(lo=1), "obs.ee: unknown key 'lo'; did you mean low"),
        (with_feature(about=3), "obs.ee.about: expected text"),
        (with_action({}), "exactly one of shape, n, nvec; found none"),
        (with_action({"n": 2, "shape": [2]}), "found shape and n"),
        (with_action({"n": 0}), "action.n: expected a whole number"),
        (with_action({"n": 2.0}), "action.n"),
        (with_action({"nvec": []}), "action.nvec: expected a list"),
        (with_action({"nvec": [2, "3"]}), "action.nvec[1]"),
        (with_action({"shape": []}), "action.shape: expected one dimension"),
        (with_action({"shape": [2], "low": [1]}), "action.low: 1 numbers for an action of 2"),
        (with_action({"shape": [2], "low": [1, None]}), "action.low: null inside the list"),
        (with_action({"shape": [2], "low": 1, "high": [2, 0]}), "action: low 1 is above high 0"),
    ],
)
def test_errors_name_the_key_and_the_fix(tmp_path, content, words):
    with pytest.raises(UsageError) as caught:
        written(tmp_path, content)
    assert words in caught.value.message
    assert "interface.json" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_not_json(tmp_path, text):
    with pytest.raises(UsageError, match="is not JSON"):
        written(tmp_path, text)


def test_unreadable(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        interface_from_json(tmp_path / "gone.json")
    with pytest.raises(UsageError, match="is a folder"):
        interface_from_json(tmp_path)
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UsageError, match="not a regular file"):
        interface_from_json(tmp_path / "pipe.json")
    (tmp_path / "null.json").write_bytes(b"\x00")
    with pytest.raises(UsageError, match="is binary"):
        interface_from_json(tmp_path / "null.json")
    (tmp_path / "big.json").write_bytes(b" " * 2_000_000)
    with pytest.raises(UsageError, match="larger than"):
        interface_from_json(tmp_path / "big.json")
    (tmp_path / "latin.json").write_bytes(b'{"obs": "\xe9"}')
    with pytest.raises(UsageError, match="is not UTF-8"):
        interface_from_json(tmp_path / "latin.json")
