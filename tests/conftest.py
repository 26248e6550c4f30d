"""Settings for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

# how long one example takes depends on the machine's other work; hanging tests are ended by pytest-timeout
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory) -> Iterator[None]:
    """Runs that tests make are marked with a key of the tests' own, not with that of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The test that takes minutes, most of them waiting, comes first: else one worker is done long before it."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/loop/test_kill.py"))
