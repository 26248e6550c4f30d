"""Saving and restoring Gymnasium environments whose whole state is a few numbers and a random generator."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

# module prefix -> (attributes that hold the state, how many numbers each may have)
_KNOWN: dict[str, dict[str, int]] = {
    "gymnasium.envs.classic_control.": {"state": 4, "last_u": 1, "steps_beyond_terminated": 1},
    "gymnasium.envs.toy_text.frozen_lake": {"s": 1, "lastaction": 1},
    "gymnasium.envs.toy_text.cliffwalking": {"s": 1, "lastaction": 1},
}
_NONE, _FLOAT64, _FLOAT32, _INT, _TUPLE = range(5)  # how an attribute was held: the arithmetic depends on it
_KIND, _COUNT = 0, 1


class Snapshot:
    """Bit-exact copies of one kind of environment as plain arrays."""

    def __init__(self, attributes: dict[str, int]) -> None:
        self._attributes = attributes

    def get(self, env: gym.Env) -> dict[str, np.ndarray]:
        """`env.NAME`: [kind, count, values...] float64 for each attribute; `env.rng`: the generator, (6,) uint64."""
        bare = env.unwrapped
        out = {f"env.{name}": _pack(getattr(bare, name, None), size) for name, size in self._attributes.items()}
        out["env.rng"] = _pack_rng(bare.np_random)
        return out

    def set(self, env: gym.Env, state: dict[str, np.ndarray]) -> None:
        bare = env.unwrapped
        for name in self._attributes:
            if hasattr(bare, name):
                setattr(bare, name, _unpack(state[f"env.{name}"]))
        bare.np_random = _unpack_rng(state["env.rng"])


def snapshot_for(env: gym.Env) -> Snapshot | None:
    """How to save this environment, or None where that cannot be done exactly (wrapped, Box2D, unknown)."""
    if env is not env.unwrapped or getattr(env, "render_mode", None) is not None:
        return None
    module = type(env).__module__
    found = next((attributes for prefix, attributes in _KNOWN.items() if module.startswith(prefix)), None)
    return Snapshot(found) if found else None


def _pack(value: Any, size: int) -> np.ndarray:
    out = np.zeros(2 + size)
    if value is None:
        out[_KIND] = _NONE
        return out
    numbers = np.atleast_1d(np.asarray(value))
    if isinstance(value, tuple):
        kind = _TUPLE
    elif isinstance(value, (int, np.integer)):
        kind = _INT
    else:
        kind = _FLOAT32 if numbers.dtype == np.float32 else _FLOAT64
    out[_KIND], out[_COUNT] = kind, numbers.size
    out[2 : 2 + numbers.size] = numbers
    return out


def _unpack(packed: np.ndarray) -> Any:
    kind, values = int(packed[_KIND]), packed[2 : 2 + int(packed[_COUNT])].copy()
    if kind == _NONE:
        return None
    if kind == _INT:
        return int(values[0])
    if kind == _TUPLE:
        return tuple(float(v) for v in values)
    return values.astype(np.float32) if kind == _FLOAT32 else values


_WORD = 2**64


def _pack_rng(rng: np.random.Generator) -> np.ndarray:
    state = rng.bit_generator.state
    inner = state["state"]
    words = [inner["state"] // _WORD, inner["state"] % _WORD, inner["inc"] // _WORD, inner["inc"] % _WORD]
    return np.array([*words, state["has_uint32"], state["uinteger"]], dtype=np.uint64)


def _unpack_rng(words: np.ndarray) -> np.random.Generator:
    w = [int(word) for word in words]
    bits = np.random.PCG64()
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": w[0] * _WORD + w[1], "inc": w[2] * _WORD + w[3]},
        "has_uint32": w[4],
        "uinteger": w[5],
    }
    return np.random.Generator(bits)
