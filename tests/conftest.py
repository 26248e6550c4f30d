"""Settings for all tests."""

from __future__ import annotations

from hypothesis import settings

# how long one example takes depends on the machine's other work; hanging tests are ended by pytest-timeout
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
