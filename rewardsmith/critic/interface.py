"""`interface.json`: what a reward may read, written by hand, so that rewards can be checked without an environment."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

from rewardsmith.errors import UsageError, unknown
from rewardsmith.store import read_text_file
from rewardsmith.types import ActionSpec, Dtype, FeatureSpec, RewardInterface

DTYPES = get_args(Dtype)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,79}")
RESERVED = "terminated"
MAX_BYTES = 1_000_000
MAX_FEATURES = 1000
MAX_DIMENSIONS = 8  # of one feature, per row
MAX_ELEMENTS = 100_000  # of all features, per row
FEATURE_KEYS = {"shape", "dtype", "low", "high", "about", "unit"}
ACTION_KEYS = {"shape", "low", "high", "n", "nvec", "about"}
NOT_IMAGES = "rewards read features, not images"
EXAMPLE = '{"obs": {"ee": {"shape": [3], "low": -1, "high": 1}}, "action": {"shape": [4], "low": -1, "high": 1}}'


def interface_from_json(path: Path) -> RewardInterface:
    """Reads an interface file.

    Raises: UsageError: the file is missing, not JSON, or says something that cannot be; the key is named.
    """
    text = read_text_file(path, max_bytes=MAX_BYTES, hint=f"give the path of an interface, such as {EXAMPLE}")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}", hint=f"an interface looks like {EXAMPLE}") from None
    try:
        return parse_interface(content)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", hint=error.hint) from None


def parse_interface(content: object) -> RewardInterface:
    """The interface in a JSON value. Raises: UsageError: naming the key that is wrong."""
    top = _mapping(content, "the file", {"obs", "action"})
    for key in ("obs", "action"):
        if key not in top:
            raise UsageError(f"the key {key!r} is missing", hint=f"an interface looks like {EXAMPLE}")
    features = top["obs"]
    if not isinstance(features, dict) or not features:
        raise UsageError("obs: expected an object with at least one feature", hint=f"an interface looks like {EXAMPLE}")
    if len(features) > MAX_FEATURES:
        raise UsageError(
            f"obs: {len(features)} features, more than {MAX_FEATURES}", hint="group numbers into one feature"
        )
    parsed = tuple(_feature(name, spec) for name, spec in features.items())
    if sum(math.prod(feature.shape) for feature in parsed) > MAX_ELEMENTS:
        raise UsageError(f"obs: more than {MAX_ELEMENTS:,} numbers a row", hint=NOT_IMAGES)
    return RewardInterface(features=parsed, action=_action(top["action"]))


def _feature(name: str, content: object) -> FeatureSpec:
    where = f"obs.{name}"
    if not NAME.fullmatch(name):
        raise UsageError(
            f"obs: {name!r} cannot be a feature name", hint="use letters, digits and _, starting with a letter"
        )
    if name == RESERVED:
        raise UsageError(f"{where}: this name is taken", hint="`terminated` is always in next_obs; leave it out")
    spec = _mapping(content, where, FEATURE_KEYS)
    dtype = spec.get("dtype", "float32")
    if dtype not in DTYPES:
        raise UsageError(f"{where}.dtype: {unknown('dtype', str(dtype), DTYPES)}", hint="use one of them")
    if "shape" not in spec:
        raise UsageError(
            f"{where}.shape is missing", hint="the shape of one row, such as [3], or [] for a single number"
        )
    low, high = _bound(spec.get("low"), f"{where}.low"), _bound(spec.get("high"), f"{where}.high")
    _check_order(low, high, where)
    return FeatureSpec(
        name=name,
        shape=_shape(spec["shape"], f"{where}.shape"),
        dtype=cast(Dtype, dtype),
        low=low,
        high=high,
        unit=_text(spec.get("unit", ""), f"{where}.unit"),
        about=_text(spec.get("about", ""), f"{where}.about"),
    )


def _action(content: object) -> ActionSpec:
    spec = _mapping(content, "action", ACTION_KEYS)
    kinds = [key for key in ("shape", "n", "nvec") if key in spec]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none of them"
        raise UsageError(
            f"action: expected exactly one of shape, n, nvec; found {found}",
            hint='continuous {"shape": [4], "low": -1, "high": 1}, discrete {"n": 4}, multi-discrete {"nvec": [3, 2]}',
        )
    about = _text(spec.get("about", ""), "action.about")
    if kinds == ["n"]:
        return ActionSpec(kind="discrete", n=_count(spec["n"], "action.n"), about=about)
    if kinds == ["nvec"]:
        nvec = spec["nvec"]
        if not isinstance(nvec, list) or not nvec:
            raise UsageError("action.nvec: expected a list of counts", hint="such as [3, 2]")
        counts = tuple(_count(n, f"action.nvec[{i}]") for i, n in enumerate(nvec))
        return ActionSpec(kind="multi_discrete", shape=(len(counts),), nvec=counts, about=about)
    shape = _shape(spec["shape"], "action.shape")
    if len(shape) != 1:
        raise UsageError(
            f"action.shape: expected one dimension, got {list(shape)}", hint="such as [4] for four numbers"
        )
    low, high = (_action_bound(spec.get(side), f"action.{side}", shape[0]) for side in ("low", "high"))
    for a, b in zip(low or (), high or (), strict=False):
        _check_order(a, b, "action")
    return ActionSpec(kind="continuous", shape=shape, low=low, high=high, about=about)


# --- values ----------------------------------------------------------------------------------------------------------


def _mapping(content: object, where: str, known: set[str]) -> Mapping[str, object]:
    if not isinstance(content, dict):
        raise UsageError(
            f"{where}: expected an object, got {_kind(content)}", hint=f"an interface looks like {EXAMPLE}"
        )
    for key in content:
        if key not in known:
            raise UsageError(f"{where}: {unknown('key', str(key), known)}", hint="remove it or correct its name")
    return content


def _shape(value: object, where: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise UsageError(f"{where}: expected a list, got {_kind(value)}", hint="such as [3], or [] for a single number")
    if len(value) > MAX_DIMENSIONS:
        raise UsageError(f"{where}: more than {MAX_DIMENSIONS} dimensions", hint="such as [3], or [] for one number")
    return tuple(_count(size, f"{where}[{i}]") for i, size in enumerate(value))


def _count(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{where}: expected a whole number of at least 1, got {_kind(value)}", hint="such as 3")
    if value > MAX_ELEMENTS:
        raise UsageError(f"{where}: more than {MAX_ELEMENTS:,}", hint=NOT_IMAGES)
    return value


def _bound(value: object, where: str) -> float | None:
    """A number, or None when it is null or infinite (JSON writers that know `Infinity` mean "no bound" by it)."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        raise UsageError(f"{where}: expected a number or null, got {_kind(value)}", hint="null means unbounded")
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _action_bound(value: object, where: str, size: int) -> tuple[float, ...] | None:
    if not isinstance(value, list):
        bound = _bound(value, where)
        return None if bound is None else (bound,) * size
    if len(value) != size:
        raise UsageError(
            f"{where}: {len(value)} numbers for an action of {size}", hint="give one number, or one for each"
        )
    bounds = [_bound(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if any(bound is None for bound in bounds):
        raise UsageError(f"{where}: null inside the list", hint="give numbers, or leave the key out")
    return tuple(bound for bound in bounds if bound is not None)


def _check_order(low: float | None, high: float | None, where: str) -> None:
    if low is not None and high is not None and low > high:
        raise UsageError(f"{where}: low {low:g} is above high {high:g}", hint="exchange them")


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: expected text, got {_kind(value)}", hint="a line of meaning")
    return value


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", type(None): "null", bool: "true or false"}.get(
        type(value), repr(value)[:40]
    )
