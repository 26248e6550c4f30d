"""`NleWorld`: many games of NetHack (NLE, MiniHack) in one process, each writing into a row of preallocated arrays."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from rewardsmith.envs.construct import bare_env
from rewardsmith.envs.glyphs import OUTSIDE, REACH, STONE
from rewardsmith.envs.nle_pictures import square_pictures
from rewardsmith.envs.rendering import resize
from rewardsmith.envs.world import VecWorld
from rewardsmith.errors import EnvironmentFault
from rewardsmith.types import ActionSpec

log = logging.getLogger(__name__)

NLE_TASK = ("FIELDS", "observation")
"""What a world.py has to define. It may also define HIDDEN."""

ABORTED, DEATH, SUCCESS = -1, 1, 2
"""Values of the field `end_status`, beside 0 for a game that goes on."""

CROP = ":crop"
END_STATUS = "end_status"
_NEEDED = ("glyphs", "blstats", "message", "program_state", "internal")  # by NLE itself
_GAME_OVER = 0  # in program_state
_X, _Y = 0, 1  # in blstats
_PICTURE = (11, 17)  # rows and columns of the map on a picture


class NleTask(Protocol):
    """What a pack's world.py states.

    Attributes:
        FIELDS: raw fields that features or the observation read: an observation key of NLE (`blstats`, `message`,
            `inv_oclasses`, ...), `glyphs:crop`, `chars:crop`, ... for the 11x11 squares around the agent, or
            `end_status`.
        HIDDEN: optional; further observation keys that the game's own Python code reads, not recorded.
    """

    FIELDS: Sequence[str]

    def observation(self, fields: dict[str, Tensor]) -> Tensor:
        """Policy observation (B, obs_dim)."""
        ...


class NleWorld(VecWorld):
    """See `VecWorld`. The game of an episode is seeded from the row's seed alone; NetHack's moon phases and unlucky
    Fridays come from it too, and not from today's date.

    NetHack blanks its observation once a game is over. On a done row the fields therefore show the last live one: of
    success and of the game's own step limit, the state right after the last action; of a death, the state when the
    game announced it (the fatal message is there; hit points may still be those before the blow). Only `end_status`
    tells these ends apart: 0 while the game goes on, 1 death, 2 success, -1 stopped by the game's own step limit,
    which counts as truncation.
    """

    def __init__(
        self,
        make_env: Callable[[], gym.Env],
        num_envs: int,
        *,
        name: str,
        task: NleTask,
        action: ActionSpec,
        horizon: int,
        featurize: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    ) -> None:
        """Args:
        make_env: builds one game, see `nle_env`.
        featurize: raw fields to named features.

        Raises: EnvironmentFault: a field that NLE does not have, or a game that cannot be built.
        """
        self._name, self._task, self._featurize = name, task, featurize
        self.action, self.horizon = action, horizon
        envs = [make_env() for _ in range(num_envs)]
        described = importlib.import_module("nle.nethack").OBSERVATION_DESC
        keys = _observation_keys(name, task, described)
        self._arrays = {key: np.zeros((num_envs, *described[key]["shape"]), described[key]["dtype"]) for key in keys}
        self._games = [
            _Game(env.unwrapped, {key: array[row] for key, array in self._arrays.items()})
            for row, env in enumerate(envs)
        ]
        self._end_status = np.zeros(num_envs, np.int64)
        self._crops = {
            field: _Crop(self._arrays[field.removesuffix(CROP)], self._arrays["blstats"])
            for field in task.FIELDS
            if field.endswith(CROP)
        }
        self._fields = {field: torch.from_numpy(self._field_array(field)) for field in task.FIELDS}
        self._allocate(num_envs, task.observation(self._fields).shape[1])
        self.info = {"is_success": torch.zeros(num_envs, dtype=torch.float64)}
        self._reward, self._success = self.native_reward.numpy(), self.info["is_success"].numpy()
        self._terminated, self._truncated = self.terminated.numpy(), self.truncated.numpy()
        self._t = np.zeros(num_envs, np.int64)
        self._pictures: np.ndarray | None = None

    def _field_array(self, field: str) -> np.ndarray:
        if field == END_STATUS:
            return self._end_status
        return self._crops[field].out if field in self._crops else self._arrays[field]

    def reset(self, ids: np.ndarray, seeds: np.ndarray) -> None:
        if len(ids) == 0:
            return
        for row, seed in zip(ids.tolist(), seeds.tolist(), strict=True):
            try:
                self._games[row].reset(seed)
            except Exception as error:  # a boundary: the game is someone else's code
                raise self._fault("reset", row, f"seed {seed}", error) from error
            self._t[row] = self._end_status[row] = 0
            self._reward[row] = 0.0
        self._show()

    def step(self, action: Tensor) -> None:
        for row, (game, act) in enumerate(zip(self._games, action.tolist(), strict=True)):
            try:
                self._reward[row], self._end_status[row] = game.step(act)
            except Exception as error:  # a boundary: the game is someone else's code
                raise self._fault("step", row, f"action {act}", error) from error
        self._t += 1
        self._show()

    def _show(self) -> None:
        """Everything that follows from the games' state."""
        for crop in self._crops.values():
            crop.refresh()
        np.greater(self._end_status, 0, out=self._terminated)
        np.greater_equal(self._t, self.horizon, out=self._truncated)
        self._truncated |= self._end_status == ABORTED
        self._truncated &= ~self._terminated
        np.equal(self._end_status, SUCCESS, out=self._success)
        self.obs.copy_(self._task.observation(self._fields))

    def fields(self) -> dict[str, Tensor]:
        return self._fields

    def featurize(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        return self._featurize(fields)

    def render(self, id: int = 0, *, size: int = 256) -> np.ndarray:
        """What is known of the map, or the part around the agent where that is larger than a picture.

        In NetHack's tiles, or in the terminal's characters where there are none.
        """
        if self._pictures is None:
            self._pictures = self._games[id].square_pictures()
        glyphs, (x, y) = self._arrays["glyphs"][id], self._arrays["blstats"][id, [_X, _Y]]
        known = glyphs != STONE
        rows, columns = (
            _shown(np.flatnonzero(known.any(1 - axis)), at, shown, glyphs.shape[axis])
            for axis, at, shown in zip((0, 1), (y, x), _PICTURE, strict=True)
        )
        squares = self._pictures[glyphs[rows, columns]]
        height, width = (count * side for count, side in zip(_PICTURE, squares.shape[2:4], strict=True))
        return resize(squares.swapaxes(1, 2).reshape(height, width, 3), size)

    def close(self) -> None:
        for game in self._games:
            try:
                game.close()
            except Exception as error:  # a boundary: the game is someone else's code
                log.warning("%s failed in close: %s: %s", self._name, type(error).__name__, error)

    def _fault(self, what: str, row: int, at: str, error: Exception) -> EnvironmentFault:
        return EnvironmentFault(
            f"{self._name} failed in {what} (row {row}, {at}): {type(error).__name__}: {error}",
            hint="this is an error of the game itself: try it alone with gymnasium.make",
        )


def _shown(known: np.ndarray, at: int, shown: int, whole: int) -> slice:
    """Which `shown` of `whole` rows or columns a picture has: around those that are known, or around the agent's."""
    if len(known) and known[-1] - known[0] < shown:
        at = (known[0] + known[-1]) // 2
    start = min(max(at - shown // 2, 0), whole - shown)
    return slice(start, start + shown)


def nle_env(name: str, kwargs: Mapping[str, object]) -> gym.Env:
    """One game of NLE or MiniHack for `NleWorld`.

    Raises: EnvironmentFault, MissingExtra: see `bare_env`.
    """
    return bare_env(name, {"observation_keys": _NEEDED[:3], "fix_moon_phase": True, **kwargs})


class _Game:
    """One NLE environment that writes its observation straight into given arrays and leaves the last live one there.

    It is stepped through the environment's own `step`, so that rewards, ends and macro actions are its own.
    """

    def __init__(self, env: Any, buffers: dict[str, np.ndarray]) -> None:
        """`buffers`: arrays of one observation by NLE's keys."""
        self._env, self._buffers, self._state = env, tuple(buffers.values()), buffers["program_state"]
        self._live: tuple[np.ndarray, ...] | None = None
        _write_into(env, buffers)
        self._press, self._quit = env.nethack.step, env._quit_game
        env.nethack.step, env._quit_game = self._press_key, self._quit_game

    def reset(self, seed: int) -> None:
        core, display = np.random.SeedSequence(seed).generate_state(2, np.uint64) >> np.uint64(1)  # signed in NLE
        self._env.seed(int(core), int(display), reseed=False)
        self._env.reset()

    def step(self, action: int) -> tuple[float, int]:
        """Reward and end status."""
        self._live = None
        _, reward, _, _, info = self._env.step(action)
        if self._live is not None:
            for buffer, live in zip(self._buffers, self._live, strict=True):
                buffer[...] = live
        return reward, int(info["end_status"])

    def _press_key(self, key: int) -> tuple[tuple[np.ndarray, ...], bool]:
        if self._state[_GAME_OVER]:  # the key dismisses the end screens
            self._keep_live()
        return self._press(key)

    def _quit_game(self, observation: Any, done: bool) -> None:
        self._keep_live()
        self._quit(observation, done)

    def _keep_live(self) -> None:
        if self._live is None:
            self._live = tuple(buffer.copy() for buffer in self._buffers)

    def square_pictures(self) -> np.ndarray:
        """Pictures by glyph, (glyphs, 16, 16, 3) uint8."""
        return square_pictures(self._env.nethack)

    def close(self) -> None:
        self._env.close()


def _write_into(env: Any, buffers: dict[str, np.ndarray]) -> None:
    """Let NetHack fill `buffers` and nothing else: what NLE fills by default costs more than the game."""
    keys, nethack = list(buffers), env.nethack
    nethack._pynethack.set_buffers(**buffers)
    nethack._obs_buffers, nethack._obs = buffers, tuple(buffers.values())
    env._observation_keys = keys
    for key in _NEEDED:
        setattr(env, f"_{key.removesuffix('s') if key == 'glyphs' else key}_index", keys.index(key))
    if "screen_descriptions" in keys:
        env._scr_descr_index = keys.index("screen_descriptions")
    env._get_observation = lambda observation: None


class _Crop:
    """The squares around the agent of a map (B, 21, 79), as `out` (B, 11, 11)."""

    def __init__(self, source: np.ndarray, blstats: np.ndarray) -> None:
        self._source, self._blstats = source, blstats
        count, height, width = source.shape
        blank = OUTSIDE if source.dtype == np.int16 else 0
        self._padded = np.full((count, height + 2 * REACH, width + 2 * REACH), blank, source.dtype)
        self._inner = self._padded[:, REACH:-REACH, REACH:-REACH]
        side = 2 * REACH + 1
        self._windows = np.lib.stride_tricks.sliding_window_view(self._padded, (side, side), axis=(1, 2))
        self._rows = np.arange(count)
        self.out = np.zeros((count, side, side), source.dtype)

    def refresh(self) -> None:
        self._inner[...] = self._source
        self.out[...] = self._windows[self._rows, self._blstats[:, _Y], self._blstats[:, _X]]


def _observation_keys(name: str, task: NleTask, known: Mapping[str, Any]) -> list[str]:
    """The keys a task needs.

    Raises: EnvironmentFault: a field that NLE does not have.
    """
    wanted = [*task.FIELDS, *getattr(task, "HIDDEN", ())]
    maps = {key for key in known if known[key]["shape"] == known["glyphs"]["shape"]}
    for field in wanted:
        if field != END_STATUS and field not in known and field.removesuffix(CROP) not in maps:
            raise EnvironmentFault(
                f"{name}: world.py names the field {field!r}, which NLE does not have",
                hint=f"choose from {', '.join([*known, *(key + CROP for key in sorted(maps)), END_STATUS])}",
            )
    return list(dict.fromkeys([*_NEEDED, *(f.removesuffix(CROP) for f in wanted if f != END_STATUS)]))
