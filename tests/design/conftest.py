from __future__ import annotations

import pytest

from rewardsmith.reward.compile import reward_jail


@pytest.fixture(scope="session")
def jail():
    """One warm jail for all tests of designers."""
    with reward_jail() as jail:
        yield jail
