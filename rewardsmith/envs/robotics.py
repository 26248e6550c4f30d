"""Gymnasium-Robotics with newer MuJoCo releases, whose enumerations no longer equal NumPy's integers.

Its Fetch and Hand environments compare the two, and die of a bare AssertionError. They get plain numbers to compare.
"""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

_COMPARED = ("mjtJoint", "mjtEq")


def mend_robotics() -> None:
    """Make Fetch and Hand environments of `gymnasium_robotics` work; doing so again changes nothing."""
    utils: Any = importlib.import_module("gymnasium_robotics.utils.mujoco_utils")
    mujoco: Any = importlib.import_module("mujoco")
    numbers = {
        name: SimpleNamespace(**{member: kind.value for member, kind in getattr(mujoco, name).__members__.items()})
        for name in _COMPARED
    }
    utils.mujoco = SimpleNamespace(**{**vars(mujoco), **numbers})
