"""The process that draws films, and what can happen to it."""

from __future__ import annotations

import os
import threading
import time

import pytest

from rewardsmith.analyze.video import VideoError
from rewardsmith.clips import painter as painter_module
from rewardsmith.clips.painter import Order, Painter
from rewardsmith.errors import EnvironmentFault, RunError
from rewardsmith.types import EnvSpec


def order(how: str) -> Order:
    return Order(env=EnvSpec(name="tiny"), root="/", clip="/clip", target=f"/{how}", size=64, overlay=False)


@pytest.fixture
def painter(monkeypatch):
    monkeypatch.setattr(painter_module, "MODULE", "tests.clips.odd_workers")
    made = Painter()
    yield made
    made.close()
    made.release()


def pid_of(painter: Painter) -> int:
    assert painter._process is not None
    return painter._process._process.pid


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_one_process_does_many_orders(painter) -> None:
    painter.draw(order("fine"), timeout_s=60)
    first = pid_of(painter)
    painter.draw(order("fine"), timeout_s=60)
    assert pid_of(painter) == first


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("killed", VideoError, "was killed by SIGKILL"),
        ("exits", VideoError, "exited with 1\nno more memory"),
        ("leaves", VideoError, "ends before it draws any"),
        ("babbles", VideoError, "answered b'<html>"),
        ("faulty", EnvironmentFault, "no picture"),
        ("damaged", RunError, "no picture"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_order_is_done(painter, how, kind, said) -> None:
    with pytest.raises(kind, match=said) as caught:
        painter.draw(order(how), timeout_s=60)
    assert caught.value.hint and type(caught.value) is kind
    painter.draw(order("fine"), timeout_s=60)


def test_one_that_hangs_is_ended(painter) -> None:
    painter.draw(order("fine"), timeout_s=60)
    pid = pid_of(painter)
    with pytest.raises(VideoError, match=r"longer than 0\.3 s"):
        painter.draw(order("hangs"), timeout_s=0.3)
    assert gone(pid)
    painter.draw(order("fine"), timeout_s=60)


def test_one_that_left_being_idle_is_started_again(painter) -> None:
    painter.draw(order("last"), timeout_s=60)
    pid = pid_of(painter)
    painter.draw(order("fine"), timeout_s=60)
    assert pid_of(painter) != pid


def test_closing_ends_what_is_being_drawn(painter) -> None:
    painter.draw(order("fine"), timeout_s=60)
    pid, failed = pid_of(painter), []

    def draw() -> None:
        try:
            painter.draw(order("hangs"), timeout_s=60)
        except VideoError as error:
            failed.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    time.sleep(0.1)
    painter.close()
    thread.join(10)
    assert len(failed) == 1 and gone(pid)
    with pytest.raises(VideoError, match="no films are drawn any more"):
        painter.draw(order("fine"), timeout_s=60)
