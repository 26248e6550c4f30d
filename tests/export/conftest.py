"""One jail for all exports."""

import pytest

from rewardsmith.reward.compile import reward_jail


@pytest.fixture(scope="package")
def jail():
    with reward_jail() as jail:
        yield jail
