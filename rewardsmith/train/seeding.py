"""Randomness as a function of (root, seed, purpose, index): nothing to store, nothing shared between members.

Two candidates with the same seed draw the same numbers, so that comparisons between candidates are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

Purpose = Literal["init", "noise", "shuffle", "episodes", "evaluation", "fresh"]
_PURPOSES: dict[str, int] = {"init": 0, "noise": 1, "shuffle": 2, "episodes": 3, "evaluation": 4, "fresh": 5}
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_EPISODE = np.uint64(0xD1342543DE82EF95)


def generator(root: int, seed: int, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """The stream of one member for one purpose; `index` is usually the iteration."""
    key = np.random.SeedSequence(entropy=root, spawn_key=(_PURPOSES[purpose], seed, index))
    return np.random.Generator(np.random.PCG64(key))


def mix64(values: np.ndarray) -> np.ndarray:
    """The splitmix64 finalizer on uint64: neighbouring inputs give unrelated outputs."""
    z = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class EpisodeSeeds:
    """Reset seeds of a population: environment `n` of a member gets a fresh seed for each of its episodes."""

    def __init__(self, root: int, seeds: Sequence[int], num_envs: int) -> None:
        bases = [generator(root, seed, "episodes").integers(2**64, dtype=np.uint64) for seed in seeds]
        rows = np.arange(num_envs, dtype=np.uint64) * _GOLDEN
        self._base = (np.array(bases, dtype=np.uint64)[:, None] + rows).reshape(-1)
        self.episodes = np.zeros((len(seeds), num_envs), dtype=np.int64)  # episodes started so far

    def draw(self, rows: np.ndarray) -> np.ndarray:
        """Seeds (k,) uint64 for the next episode of the world's `rows` (k,)."""
        flat = self.episodes.reshape(-1)
        seeds = mix64(self._base[rows] + flat[rows].astype(np.uint64) * _EPISODE)
        flat[rows] += 1
        return seeds


def evaluation_seeds(root: int, episodes: int) -> np.ndarray:
    """The common seeds (episodes,) uint64 on which every policy is measured."""
    return generator(root, 0, "evaluation").integers(2**64, size=episodes, dtype=np.uint64)


def fresh_root(root: int) -> int:
    """Root of episodes for a policy that was chosen by those of `evaluation_seeds(root, ...)`."""
    return int(generator(root, 0, "fresh").integers(2**63))
