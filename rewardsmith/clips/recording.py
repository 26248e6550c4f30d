"""Playing one episode of a policy and keeping what it takes to draw it, and what it was paid."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewardsmith.bank.record import Policy as Player
from rewardsmith.clips.clip import Clip, Ending
from rewardsmith.engine import alive
from rewardsmith.envs import Environment, VecWorld
from rewardsmith.errors import EnvironmentFault, RewardsmithError, RunError, UsageError
from rewardsmith.reward.graph import parse_graph
from rewardsmith.reward.program import RewardProgram
from rewardsmith.train.evaluate import require_fit
from rewardsmith.train.policy import Policy, PolicyStack
from rewardsmith.train.recorder import Features, featurize_rows
from rewardsmith.train.rewards import MemoryTrack, Paid, Program, pay, stack_paid

CLIP_S = 8.0  # of an episode, where steps have a length in time
LONGEST_CLIP_S = 60.0
MAX_FPS = 25.0
LONGEST_STEP_S = 0.5  # steps that take longer are played like those of no known length: in real time nothing would move
UNTIMED_FRAMES = 200  # of an episode as long as they get, after the first one
UNTIMED_S = 16.0  # for which a film of such an episode lasts
MIN_FPS = 4.0

_ROW = np.zeros(1, np.int64)
_Act = Callable[[Tensor, Tensor | None], Tensor]


class Pace(NamedTuple):
    """How an environment's clips are played: the same for all its policies, so that a quicker one looks quicker."""

    steps: int  # at most
    stride: int  # steps from one frame to the next
    fps: float


def pace_of(environment: Environment, seconds: float = CLIP_S) -> Pace:
    """In real time, the first `seconds`, where steps have a length in time; else whole episodes.

    Raises: UsageError: `seconds` are none, or too many.
    """
    if not 0 < seconds <= LONGEST_CLIP_S:
        raise UsageError(f"a clip lasts up to {LONGEST_CLIP_S:g} s, not {seconds:g} s")
    horizon, dt = environment.horizon, environment.dt
    if dt is not None and 0 < dt <= LONGEST_STEP_S:
        stride = max(1, math.ceil(1 / (dt * MAX_FPS) - 1e-6))
        return Pace(min(horizon, max(1, round(seconds / dt))), stride, 1 / (dt * stride))
    stride = math.ceil(horizon / UNTIMED_FRAMES)
    return Pace(horizon, stride, min(max(horizon / stride / UNTIMED_S, MIN_FPS), MAX_FPS))


def record_clip(
    environment: Environment,
    policy: Policy | Player,
    *,
    seed: int,
    program: Program | None = None,
    seconds: float = CLIP_S,
    load_program: Callable[[str], Program] | None = None,
) -> Clip:
    """Play an episode deterministically and keep it. Policies with the same seed start from the same state.

    Args:
        policy: a trained one, or any function from observations (1, obs_dim) to actions that can be applied.
        seed: reset seed of the episode, in [0, 2**64).
        program: the reward whose components are kept beside what happens.
        seconds: of the episode at most, where steps have a length in time; else it is kept whole.
        load_program: for a policy that sees a reward's memory: turns its graph JSON into the program.

    Raises:
        EnvironmentFault: the environment raised.
        RunError: the policy was made for another environment, or the reward fails on this episode.
        UsageError: `seconds` are none, or too many.
    """
    load = load_program or (lambda text: RewardProgram.from_graph(parse_graph(text, environment.interface)))
    pace = pace_of(environment, seconds)
    world = environment.make_world(1)
    try:
        memory = None
        if isinstance(policy, Policy):
            require_fit(policy, world, environment.name)
            if policy.info.memory_width:
                memory = MemoryTrack([(load(policy.info.memory_graph), 0, 1)], 1, world.device)
            act = PolicyStack([policy], device=world.device).act
        else:
            act = lambda obs, memory: policy(obs)
        with torch.no_grad():
            played = _play(environment.name, world, act, memory, seed, pace)
            paid = None if program is None else _paid(program, played)
    finally:
        world.close()
    return Clip(
        env=environment.name,
        seed=int(seed),
        dt=environment.dt,
        fps=pace.fps,
        ended=played.ended,
        shown=np.array(played.shown, np.int64),
        action=played.action.numpy(force=True),
        features={name: value.numpy(force=True) for name, value in played.features.items()},
        states=_stacked(played.states),
        total=None if paid is None else paid.total.numpy(force=True),
        components={} if paid is None else {k: v.numpy(force=True) for k, v in paid.components.items()},
    )


class _Played(NamedTuple):
    action: Tensor  # (T, ...)
    features: Features  # each (T + 1, ...)
    shown: list[int]  # after how many steps each of F frames is
    states: list[dict[str, np.ndarray]]  # of the frames, arrays (1, ...); empty where the world cannot restore them
    ended: Ending


def _play(name: str, world: VecWorld, act: _Act, memory: MemoryTrack | None, seed: int, pace: Pace) -> _Played:
    """One episode in a world of one row, up to its end or `pace.steps`."""
    _foreign(name, lambda: world.reset(_ROW, np.array([seed], np.uint64)))
    state_now = lambda: [world.get_state(_ROW)] if world.can_restore else []
    rows, actions, shown, states = [_copied(world)], [], [0], state_now()
    before = featurize_rows(world, rows[0]) if memory else {}
    ended: Ending = "goes on"
    while len(actions) < pace.steps and ended == "goes on":
        action = act(world.obs, memory.flat if memory else None)
        _foreign(name, lambda action=action: world.step(action))
        alive()
        actions.append(action.clone())
        rows.append(_copied(world))
        ended = _ending(world)
        if memory:
            after = featurize_rows(world, rows[-1])
            memory.step(before, action, after, world.terminated)
            before = after
        if len(actions) % pace.stride == 0 or len(actions) == pace.steps or ended != "goes on":
            shown.append(len(actions))
            states += state_now()
    fields = {key: torch.cat([row[key] for row in rows]) for key in rows[0]}
    return _Played(torch.cat(actions), featurize_rows(world, fields), shown, states, ended)


def _copied(world: VecWorld) -> Features:
    return {key: value.clone() for key, value in world.fields().items()}


def _ending(world: VecWorld) -> Ending:
    """How the episode in a world of one row stands after its last step."""
    if bool(world.diverged[0]):
        return "broke down"
    if bool(world.terminated[0]):
        return "terminated"
    return "time limit" if bool(world.truncated[0]) else "goes on"


def _paid(program: Program, played: _Played) -> Paid:
    """What a reward pays in each step of an episode.

    Raises: RunError: it raises, or what it returns is not one number per step.
    """
    before, after = ({k: v[at] for k, v in played.features.items()} for at in (slice(None, -1), slice(1, None)))
    action, steps = played.action, len(played.action)
    after["terminated"] = torch.zeros(steps, dtype=torch.bool, device=action.device)
    after["terminated"][-1] = played.ended in ("terminated", "broke down")
    try:
        if not program.uses_memory:
            return pay(program, before, action, after)
        track, ended = MemoryTrack([(program, 0, 1)], 1, action.device), after.pop("terminated")
        step = lambda t: track.step(_row(before, t), action[t : t + 1], _row(after, t), ended[t : t + 1])
        [paid] = stack_paid([step(t) for t in range(steps)])
    except Exception as error:  # the reward is the candidate's: whatever it raises
        raise _failing(f"{type(error).__name__}: {error}") from error
    if isinstance(paid, str):
        raise _failing(paid)
    return paid


def _row(values: Mapping[str, Tensor], t: int) -> Features:
    return {name: value[t : t + 1] for name, value in values.items()}


def _failing(said: str) -> RunError:
    return RunError(f"the reward fails on a recorded episode: {said}", hint="check the reward, or record without it")


def _stacked(states: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Each (F, ...)."""
    return {name: np.concatenate([state[name] for state in states]) for name in states[0]} if states else {}


def _foreign(name: str, call: Callable[[], None]) -> None:
    """Raises: EnvironmentFault: whatever an environment raises."""
    try:
        call()
    except RewardsmithError:
        raise
    except Exception as error:  # a boundary: the environment is someone else's code
        raise EnvironmentFault(
            f"{name} failed while a clip was recorded: {type(error).__name__}: {error}",
            hint="this is an error of the environment itself: try it alone",
        ) from error
