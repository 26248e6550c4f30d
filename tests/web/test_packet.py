"""Packets: one file that needs no server, and votes that find their way back."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations

import pytest

from rewardsmith.errors import UsageError
from rewardsmith.prefer.votes import Question, Vote
from rewardsmith.web.packet import SETS, make_packet, spread_sets, unanswered, votes_of
from tests.web.browser import CHROMIUM, Browser, until
from tests.web.conftest import ITEMS, QUESTION, put, vote_id, votes

CANDIDATES = [f"round-1-{n}" for n in range(6)]


def content(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="packet">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def answered(packet: dict, rater: str = "ann", **changes) -> dict:
    """A votes.json in which the first clip of each set is the best and the second the worst."""
    given = [
        {"id": vote_id(n), "asked": s["handle"], "form": "best_worst", "order": [[0], [1]], "comment": f"set {n}"}
        for n, s in enumerate(packet["sets"])
    ]
    return {"packet": packet["id"], "run": packet["run"], "rater": rater, "votes": given} | changes


@pytest.fixture
def site(serve):
    return serve(compare=CANDIDATES, words="Does it hop?").site


def test_votes_find_their_way_back(run, site, films) -> None:
    page = make_packet(site.poll, films, run=run.id)
    packet = content(page)
    given = votes_of(site.poll, json.loads(json.dumps(answered(packet))))
    assert site.poll.book.merge(given) == SETS + 1
    assert site.poll.book.merge(given) == 0
    saved = votes(run)
    assert {v.rater for v in saved} == {"ann"} and saved[0].ballot.comment == "set 0"
    first = packet["sets"][0]["clips"][0][0]  # what was shown first is what was voted best
    (best,) = saved[0].ballot.order[0]
    import base64

    assert base64.b64decode(packet["films"][first]) == films.film(best, 7).read_bytes()


def test_one_set_in_ten_comes_again(run, site, films) -> None:
    packet = content(make_packet(site.poll, films, run=run.id))
    given = votes_of(site.poll, answered(packet))
    assert [n for n, v in enumerate(given) if v.again] == [9]
    assert Counter(v.question for v in given)[given[9].question] == 2


def test_a_packet_names_no_candidate_and_asks_nobody(run, site, films) -> None:
    page = make_packet(site.poll, films, run=run.id, task="</script><b>Hop</b>", rater="ann")
    assert not any(candidate in page for candidate in CANDIDATES)
    assert "</script><b>" not in page and content(page)["task"] == "</script><b>Hop</b>"
    assert not re.search(r"(src|href)=\"(?!data:,)", page) and "://" not in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy and "default-src 'none'" in policy[1] and "connect-src" not in policy[1]
    assert {s["words"] for s in content(page)["sets"]} == {"Does it hop?"}


def test_what_the_run_asks_comes_first(run, serve, films) -> None:
    put(run, Question(id="round-1", items=ITEMS[:2]), QUESTION.model_copy(update={"id": "round-2"}))
    site = serve().site
    packet = content(make_packet(site.poll, films, run=run.id))
    assert [v.question for v in votes_of(site.poll, answered(packet))] == ["round-2"]
    assert packet["sets"][0]["words"] == "Does it hop?"


def test_what_to_look_for_can_be_said_in_other_words(run, serve, enter) -> None:
    put(run, QUESTION)
    assert enter(serve(words="Is it calm?")).next()["asked"]["words"] == "Is it calm?"


def test_there_must_be_something_to_compare(run, serve, films) -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        make_packet(serve().site.poll, films, run=run.id)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f["votes"][1].update(asked="0" * 32), "vote 2 is about clips of another run"),
        (lambda f: f.update(packet="packet-0000000000000000"), "vote 1 is about clips of another run"),
        (lambda f: f["votes"][0].update(order=[[0], [9]]), "vote 1 is damaged"),
        (lambda f: f["votes"][0].update(order=[[0], [-1]]), "vote 1: ballot"),
        (lambda f: f["votes"][0].update(order=7), "vote 1 is damaged"),
        (lambda f: f["votes"][0].pop("form"), "vote 1 is damaged"),
        (lambda f: f["votes"].append("x"), "is damaged"),
        (lambda f: f["votes"][0].update(id="x"), "vote 1: id"),
        (lambda f: f["votes"][0].update(comment=["x"]), "vote 1: ballot.comment"),
        (lambda f: f.update(votes=None), "no file of votes"),
        (lambda f: f.update(rater=3), "no file of votes"),
    ],
)
def test_a_damaged_file_of_votes_changes_nothing(run, site, films, spoil, said: str) -> None:
    file = answered(content(make_packet(site.poll, films, run=run.id, sets=2)))
    spoil(file)
    with pytest.raises(UsageError, match=re.escape(said)):
        site.poll.book.merge(votes_of(site.poll, file))
    assert votes(run) == []


@pytest.mark.parametrize("rater", ["", " ann", "x" * 41, "a\u202eb"])
def test_a_rater_has_a_name(run, site, films, rater: str) -> None:
    file = answered(content(make_packet(site.poll, films, run=run.id, sets=2)), rater)
    with pytest.raises(UsageError, match="no name of a rater"):
        site.poll.book.merge(votes_of(site.poll, file))


def test_who_has_answered_already_is_not_counted_twice(run, site, films) -> None:
    packet = content(make_packet(site.poll, films, run=run.id, sets=2))
    site.poll.book.merge(unanswered(site.poll, votes_of(site.poll, answered(packet))))
    later = answered(packet)
    later["votes"][1] |= {"id": vote_id(50), "order": [[2], [0]]}  # saved once more, with another answer
    assert [v.id for v in unanswered(site.poll, votes_of(site.poll, later))] == [vote_id(0)]
    twice = answered(packet, "bob")
    twice["votes"] = [v | {"id": vote_id(60 + n)} for n, v in enumerate(twice["votes"][:1] * 2)]
    assert [v.id for v in unanswered(site.poll, votes_of(site.poll, twice))] == [vote_id(60)]


def test_other_files_of_votes_are_taken_too(run, site) -> None:
    put(run, QUESTION)
    vote = {"form": "unsure", "rater": "ann", "shown": ITEMS}
    (found,) = votes_of(
        site.poll, {"votes": [Vote.model_validate({"question": "round-1", "ballot": vote}).model_dump()]}
    )
    assert site.poll.book.merge([found]) == 1


@pytest.mark.parametrize(
    ("items", "count", "size"), [(2, 9, 4), (4, 9, 4), (6, 9, 4), (5, 4, 2), (12, 10, 6), (1, 3, 2)]
)
def test_sets_meet_all_pairs_about_equally_often(items: int, count: int, size: int) -> None:
    names = [f"c{n:02}" for n in range(items)]
    sets = spread_sets(names, count, size)
    assert len(set(sets)) == len(sets) <= count and all(len(s) == min(size, items) for s in sets)
    met = Counter(pair for s in sets for pair in combinations(s, 2))
    if items > 1 and size < items and count * size * (size - 1) >= 2 * items * (items - 1):
        assert all(met[pair] for pair in combinations(names, 2))
        assert max(met.values()) <= 4


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_in_a_browser_without_a_network(run, site, films, tmp_path) -> None:
    path = tmp_path / "packet.html"
    path.write_text(make_packet(site.poll, films, run=run.id, task="Hop forward", sets=2), encoding="utf-8")
    ready = "document.querySelectorAll('.clip video').length && !document.querySelector('.clip.loading')"
    with Browser() as browser:
        page = browser.page(path.as_uri())
        page.socket.call(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0
        )
        page.wait(ready)
        page.wait("document.querySelector('video').currentTime > 0")
        page.key("a")
        page.key("b", shift=True)
        page.key("Enter")
        page.wait("document.querySelector('#stage').innerText.startsWith('1 of 2')")
        page.go(path.as_uri())  # what was answered is kept
        page.wait(ready)
        page.key("u")
        page.wait("document.querySelector('#stage').innerText.startsWith('0 of 2') && !busy")
        page.key("c", shift=True)
        page.key("Enter")
        page.wait(f"document.querySelector('#stage').innerText.startsWith('1 of 2') && !busy && {ready}")
        page.key("t")
        page.wait("document.querySelector('#wait-title').innerText.startsWith('All is compared')")
        page.click("#rater")
        page.type("Ann")
        page.socket.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        page.click("#save")
        saved = tmp_path / "votes.json"
        until(lambda: saved.exists() and saved.stat().st_size > 0, "the votes are saved")
        page.size(375, 700)
        assert page.run("document.documentElement.scrollWidth") <= 375
        assert page.faults() == []
    given = votes_of(site.poll, json.loads(saved.read_text()))
    assert site.poll.book.merge(given) == 2
    assert [v.ballot.form for v in given] == ["best_worst", "unsure"] and given[0].rater == "Ann"
    assert [given[0].ballot.shown.index(item) for (item,) in given[0].ballot.order] == [0, 2]
