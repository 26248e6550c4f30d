from __future__ import annotations

from collections.abc import Iterator

import pytest

from rewardsmith.jail import Jail, JailLimits
from rewardsmith.reward.compile import reward_jail


@pytest.fixture(scope="session")
def jail() -> Iterator[Jail]:
    """One warm tracing jail for all tests; calls may take 5 s."""
    with reward_jail(limits=JailLimits(wall_s=5, cpu_s=5)) as jail:
        yield jail
