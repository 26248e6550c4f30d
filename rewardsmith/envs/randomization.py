"""Domain randomization: physical properties that every episode of a MuJoCo pack draws anew from its own seed."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rewardsmith.envs.physics import SCALABLE
from rewardsmith.errors import EnvironmentFault, unknown

_STREAM = 0x5CA1E  # keeps these numbers apart from those that the same seed draws for the start state


class Randomization:
    """Ranges of factors on physical properties, `{"mass": (0.8, 1.2)}`. The same seed always draws the same factors."""

    def __init__(self, given: object, env: str) -> None:
        """Args:
        given: what a person passed: properties of `SCALABLE` with [lowest, highest] factor.
        env: the environment, for messages.

        Raises: EnvironmentFault: an unknown property, or a range that is none.
        """
        hint = 'write for example {"randomize": {"mass": [0.8, 1.2], "friction": [0.5, 1.5]}}'
        if not isinstance(given, Mapping):
            raise EnvironmentFault(f"{env}: randomize is no object: {given!r}", hint=hint)
        self.ranges: dict[str, tuple[float, float]] = {}
        for name in sorted(given):
            if name not in SCALABLE:
                raise EnvironmentFault(f"{env}: randomize: {unknown('property', name, SCALABLE)}", hint=hint)
            self.ranges[name] = _range(given[name], f"{env}: randomize.{name}", hint)

    def draw(self, seeds: np.ndarray) -> np.ndarray:
        """Factors (k, properties), each uniform in its range, for episodes with `seeds` (k,) uint64."""
        low, high = np.array(list(self.ranges.values())).reshape(-1, 2).T
        return np.stack([_generator(seed).uniform(low, high) for seed in seeds.tolist()])


def _range(given: object, where: str, hint: str) -> tuple[float, float]:
    numbers = given if isinstance(given, (list, tuple)) else ()
    if len(numbers) != 2 or not all(isinstance(x, (int, float)) and math.isfinite(x) and x > 0 for x in numbers):
        raise EnvironmentFault(f"{where} is not [lowest, highest] with positive factors: {given!r}", hint=hint)
    low, high = float(numbers[0]), float(numbers[1])
    if low > high:
        raise EnvironmentFault(f"{where}: the lowest factor {low:g} is above the highest {high:g}", hint=hint)
    return low, high


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(_STREAM,))))
