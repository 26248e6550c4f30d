from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.llm.retry import RetryPolicy, is_retried_status, retry_after_s


@pytest.mark.parametrize(("status", "again"), [(400, 0), (401, 0), (403, 0), (404, 0), (408, 0), (429, 1), (500, 1)])
def test_which_statuses_are_repeated(status, again):
    assert is_retried_status(status) == bool(again)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:30 GMT"}, 20.0),
    ],
)
def test_retry_after(headers, wait):
    assert retry_after_s(headers, now=lambda: 10.0) == wait


def test_a_nan_wait_is_no_wait():
    assert retry_after_s({"retry-after": "nan"}) is None


@given(st.integers(1, 12), st.integers(1, 30))
def test_waits_grow_to_a_cap_and_end(attempts, failures):
    policy = RetryPolicy(attempts=attempts, first_wait_s=1, cap_s=10)
    wait = policy.wait_s(failures, None)
    assert (wait is None) == (failures >= attempts)
    if wait is not None:
        assert wait == min(10.0, 2.0 ** (failures - 1))
