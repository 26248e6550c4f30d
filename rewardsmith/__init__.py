"""rewardsmith designs reward functions for reinforcement learning with language models.

The public API below is loaded on first use: `import rewardsmith` imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rewardsmith.loop.api import (
        check_reward,
        compare_rewards,
        design_reward,
        inspect_reward,
        load_run,
        refine_run,
        resume_run,
        train_reward,
    )

try:
    __version__ = version("rewardsmith")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "check_reward",
    "compare_rewards",
    "design_reward",
    "inspect_reward",
    "load_run",
    "refine_run",
    "resume_run",
    "train_reward",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("rewardsmith.loop.api"), name)
    raise AttributeError(f"module 'rewardsmith' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
