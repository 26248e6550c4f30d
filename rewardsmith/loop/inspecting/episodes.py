"""Episodes to look at a reward in: played once, filmed, and paid by any number of rewards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewardsmith.bank.record import Policy as Player
from rewardsmith.bank.record import random_action
from rewardsmith.bank.simple import simple_policies
from rewardsmith.clips import Clip, film, record_clip
from rewardsmith.envs import Environment
from rewardsmith.errors import EnvironmentFault, NothingAcceptable
from rewardsmith.loop.clipping import SEEDS
from rewardsmith.reward.program import RewardProgram
from rewardsmith.train import Policy, load_policy
from rewardsmith.types import ActionSpec

SECONDS = 20.0  # of each episode
FILM_SIZE = 320  # pixels
TOTAL, SHAPING = "the total", "potential shaping"  # no component can have such a name


class Episode(NamedTuple):
    """`film` is an mp4, or None where the environment cannot be drawn; `why` says so then."""

    title: str
    clip: Clip
    film: bytes | None
    why: str = ""


class Transitions(NamedTuple):
    """M transitions as a reward reads them."""

    obs: dict[str, Tensor]  # each (M, ...)
    action: Tensor  # (M, ...)
    next_obs: dict[str, Tensor]  # each (M, ...), with `terminated` (M,) bool


def play(environment: Environment, policy: Path | None, *, seconds: float, films: bool = True) -> Iterator[Episode]:
    """Episodes of a trained policy from a few reset seeds; without one, of the random and the simple policies.

    Raises: EnvironmentFault: the environment raised. RunError: the policy is damaged, or of another environment.
    """
    for title, player, seed in _players(environment, policy):
        clip = record_clip(environment, player, seed=seed, seconds=seconds)
        try:
            yield Episode(title, clip, film(environment, clip, size=FILM_SIZE) if films else None)
        except EnvironmentFault as error:  # without a film the numbers are still there
            yield Episode(title, clip, None, error.message)


def _players(environment: Environment, policy: Path | None) -> Iterator[tuple[str, Policy | Player, int]]:
    if policy is not None:
        trained = load_policy(policy)
        yield from ((f"trained policy, reset seed {seed}", trained, seed) for seed in SEEDS)
        return
    action = environment.interface.action
    yield "random actions", random_policy(action), 0
    yield from ((title, player, 0) for title, player in simple_policies(action))


def random_policy(action: ActionSpec, seed: int = 0) -> Player:
    """Uniformly random actions, the same ones for a seed."""
    rng = np.random.default_rng(seed)
    return lambda obs: torch.stack([random_action(action, rng) for _ in range(len(obs))])


def transitions_of(clip: Clip) -> Transitions:
    """A clip's T steps."""
    features = {name: torch.from_numpy(value) for name, value in clip.features.items()}
    ended = torch.zeros(clip.steps, dtype=torch.bool)
    ended[-1] = clip.ended in ("terminated", "broke down")
    after = {name: value[1:] for name, value in features.items()} | {"terminated": ended}
    return Transitions({name: value[:-1] for name, value in features.items()}, torch.from_numpy(clip.action), after)


def pay_clip(program: RewardProgram, clip: Clip, *, gamma: float) -> dict[str, np.ndarray]:
    """What a reward pays in each step, each (T,) float32: the total, its components, and its potential shaping.

    Raises: NothingAcceptable: an operation of the reward fails on this episode.
    """
    rows = transitions_of(clip)
    across = lambda values: {name: value[:, None] for name, value in values.items()}
    starts = torch.zeros(clip.steps, 1, dtype=torch.bool)
    starts[0] = True
    with failing_on("a recorded episode"):
        paid = program.over_rollout(across(rows.obs), rows.action[:, None], across(rows.next_obs), starts)
        series = {TOTAL: paid.total[:, 0]} | {name: value[:, 0] for name, value in paid.components.items()}
        if program.has_potential:
            states = {name: value for name, value in rows.next_obs.items() if name != "terminated"}
            there = torch.where(rows.next_obs["terminated"], 0.0, program.potential(states))
            series[SHAPING] = gamma * there - program.potential(rows.obs)
    return {name: value.float().numpy(force=True) for name, value in series.items()}


@contextmanager
def failing_on(what: str) -> Iterator[None]:
    """Turns whatever a reward's graph raises into an error that says where."""
    try:
        yield
    except Exception as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise NothingAcceptable(
            f"the reward fails on {what}: {said}", hint="rewardsmith check says which line is to blame"
        ) from error
