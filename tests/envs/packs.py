"""The bundled packs for parametrized tests; one whose extra is not installed is skipped."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from rewardsmith.envs.pack import bundled_packs

_MODULES = {"fetch_push": "gymnasium_robotics", "fetch_reach": "gymnasium_robotics", "minihack_room": "minihack"}


def pack(name: str):
    """A parameter."""
    module = _MODULES.get(name)
    missing = module is not None and find_spec(module) is None
    return pytest.param(name, marks=pytest.mark.skipif(missing, reason=f"{module} is not installed"))


PACKS = [pack(name) for name in sorted(bundled_packs())]
