"""Many raters at once: nothing is lost, nothing is counted twice, and a single vote is on disk at once."""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from rewardsmith.prefer.votes import VoteBook
from tests.web.conftest import QUESTION, Client, put, vote_id, votes

RATERS, ANSWERS = 50, 4


def test_fifty_raters_who_vote_at_once_lose_nothing(run, serve) -> None:
    served = serve(compare=[f"c{n}" for n in range(8)], at_a_time=4)
    together = threading.Barrier(RATERS)
    links = [served.site.link(f"rater {n}") for n in range(RATERS)]

    def rate(number: int) -> list[float]:
        client, took = Client(served.site.port), []
        assert client.enter(links[number]).status == 200
        for answer in range(ANSWERS):
            handle = client.next()["asked"]["handle"]
            together.wait(60)
            began = time.perf_counter()
            id = vote_id(100 * number + answer)
            assert client.vote(handle, id, [[number % 4], [(number + 1) % 4]]).status == 200
            took.append(time.perf_counter() - began)
            assert client.vote(handle, id, [[number % 4], [(number + 1) % 4]]).status == 200  # sent once more
        return took

    with ThreadPoolExecutor(RATERS) as pool:
        took = [t for found in pool.map(rate, range(RATERS)) for t in found]
    saved = votes(run)
    assert {v.id for v in saved} == {vote_id(100 * n + a) for n in range(RATERS) for a in range(ANSWERS)}
    assert len(saved) == RATERS * ANSWERS
    assert {v.rater for v in saved} == {f"rater {n}" for n in range(RATERS)}
    assert all(len({v.question for v in saved if v.rater == rater}) == ANSWERS for rater in {v.rater for v in saved})
    print(f"50 at once: median {statistics.median(took):.3f} s, longest {max(took):.3f} s")


def test_a_vote_is_on_disk_when_it_is_answered_and_soon(run, serve, enter) -> None:
    put(run, QUESTION)
    ann = enter(serve(compare=[f"c{n}" for n in range(8)], at_a_time=2))
    took = []
    for number in range(20):
        handle = ann.next()["asked"]["handle"]
        began = time.perf_counter()
        assert ann.vote(handle, vote_id(number), [[0], [1]]).status == 200
        took.append(time.perf_counter() - began)
        with VoteBook(run.root / "votes.sqlite", read_only=True) as other:
            assert other.votes()[-1].id == vote_id(number)
    print(f"vote to disk: median {1000 * statistics.median(took):.1f} ms, longest {1000 * max(took):.1f} ms")
    assert statistics.median(took) < 0.05
