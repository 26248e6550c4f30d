from __future__ import annotations

from collections.abc import Iterator

import pytest

from rewardsmith.jail import Jail
from rewardsmith.reward.compile import reward_jail


@pytest.fixture(scope="session")
def jail() -> Iterator[Jail]:
    """One warm tracing jail for all tests."""
    with reward_jail() as jail:
        yield jail
