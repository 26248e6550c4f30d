from __future__ import annotations

from collections.abc import Iterator

import pytest

from rewardsmith.jail import Jail, JailLimits
from rewardsmith.reward.compile import reward_jail


@pytest.fixture(scope="session")
def jail() -> Iterator[Jail]:
    """One warm tracing jail for all tests; calls may take 4 s."""
    with reward_jail(limits=JailLimits(wall_s=4, cpu_s=4)) as jail:
        yield jail
