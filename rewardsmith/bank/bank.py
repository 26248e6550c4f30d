"""`Bank`: recorded transitions in whole episodes, as rewards see them."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rewardsmith.errors import RunError
from rewardsmith.types import RewardInterface

FORMAT = 1


@dataclass(frozen=True)
class Bank:
    """M transitions of E whole episodes, in order.

    Attributes:
        obs, next_obs: features before and after each step, each (M, ...); `next_obs` also has "terminated" (M,) bool.
        action: (M,) or (M, A).
        truncated: (M,) bool, true where the time limit ended the episode.
        episode: (M,) int64, which episode a row belongs to, ascending from 0.
        t: (M,) int64, the row's step within its episode.
        fitness, success: (E,) float64 by the metric it was recorded with; NaN where unknown.
        interface: digest of the reward interface.
        env_steps: what recording cost, unfinished episodes included.
        env, policy, goal: where it came from, in words.
    """

    obs: dict[str, Tensor]
    action: Tensor
    next_obs: dict[str, Tensor]
    truncated: Tensor
    episode: Tensor
    t: Tensor
    fitness: Tensor
    success: Tensor
    interface: str
    env_steps: int
    env: str = ""
    policy: str = "random"
    goal: str = ""
    _starts: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", torch.nonzero(self.t == 0)[:, 0])

    def __len__(self) -> int:
        return len(self.t)

    @property
    def terminated(self) -> Tensor:
        return self.next_obs["terminated"]

    @property
    def episodes(self) -> int:
        return len(self.fitness)

    def rows(self, episode: int) -> slice:
        """The rows of one episode."""
        if not 0 <= episode < self.episodes:
            raise IndexError(f"episode {episode} of {self.episodes}")
        end = int(self._starts[episode + 1]) if episode + 1 < self.episodes else len(self)
        return slice(int(self._starts[episode]), end)

    def save(self, path: str | Path) -> None:
        """Write an .npz without pickled objects; the file appears whole or not at all."""
        path = Path(path)
        about = {key: getattr(self, key) for key in ("interface", "env_steps", "env", "policy", "goal")}
        arrays = {
            "about": np.array(json.dumps({"format": FORMAT, **about})),
            **{key: getattr(self, key).numpy() for key in _ARRAYS},
            **{f"obs.{key}": value.numpy() for key, value in self.obs.items()},
            **{f"next_obs.{key}": value.numpy() for key, value in self.next_obs.items()},
        }
        beside = path.with_name(f".{path.name}.{os.getpid()}.npz")
        try:
            np.savez_compressed(beside, allow_pickle=False, **arrays)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path, interface: RewardInterface) -> Bank:
        """Read a bank that was recorded under `interface`.

        Raises: RunError: missing, damaged, of another format, or recorded under another interface.
        """
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                about = json.loads(str(arrays["about"]))
                data = {key: torch.from_numpy(arrays[key]) for key in arrays.files if key != "about"}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
            raise RunError(
                f"the bank {path} cannot be read: {type(error).__name__}: {error}", hint="delete it and record it again"
            ) from error
        if about.pop("format", None) != FORMAT:
            raise RunError(f"the bank {path} has another format", hint="delete it and record it again")
        if about.get("interface") != interface.digest:
            raise RunError(
                f"the bank {path} was recorded under another reward interface "
                f"({about.get('interface')}, now {interface.digest})",
                hint="the environment's features or actions have changed: delete the bank and record it again",
            )
        missing = [key for key in _ARRAYS if key not in data]
        if missing:
            raise RunError(f"the bank {path} lacks {', '.join(missing)}", hint="delete it and record it again")
        return cls(
            obs={key.removeprefix("obs."): value for key, value in data.items() if key.startswith("obs.")},
            next_obs={key.removeprefix("next_obs."): v for key, v in data.items() if key.startswith("next_obs.")},
            **{key: data[key] for key in _ARRAYS},
            **about,
        )


_ARRAYS = ("action", "truncated", "episode", "t", "fitness", "success")


def concatenate(banks: list[Bank]) -> Bank:
    """One bank of all episodes, in order.

    Raises: RunError: none given, or of different interfaces.
    """
    if not banks or len({bank.interface for bank in banks}) > 1:
        raise RunError("only banks of one and the same reward interface can be joined", hint="record them again")
    first = banks[0]
    offsets = np.cumsum([0, *(bank.episodes for bank in banks)])
    return Bank(
        obs={key: torch.cat([bank.obs[key] for bank in banks]) for key in first.obs},
        next_obs={key: torch.cat([bank.next_obs[key] for bank in banks]) for key in first.next_obs},
        episode=torch.cat([bank.episode + int(k) for bank, k in zip(banks, offsets, strict=False)]),
        **{key: torch.cat([getattr(bank, key) for bank in banks]) for key in _ARRAYS if key != "episode"},
        interface=first.interface,
        env_steps=sum(bank.env_steps for bank in banks),
        env=first.env,
        policy=" + ".join(dict.fromkeys(bank.policy for bank in banks)),
        goal=first.goal if len({bank.goal for bank in banks}) == 1 else "",
    )
