"""The page's API: what raters are shown, which votes count, and what is turned away."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from rewardsmith.prefer.asking import standings
from rewardsmith.prefer.ballots import Ballot
from rewardsmith.prefer.votes import Question, Vote, VoteBook
from tests.web.conftest import ITEMS, QUESTION, Client, put, vote_id, votes


def test_a_whole_vote(run, serve, enter) -> None:
    put(run, QUESTION)
    ann = enter(serve(task="Hop forward"))
    state = ann.next()
    assert state["run"] == run.id and state["task"] == "Hop forward" and state["rater"] == "ann"
    assert (state["asked"]["clips"], state["asked"]["episodes"], state["asked"]["words"]) == (4, 2, "Does it hop?")
    handle = state["asked"]["handle"]
    assert ann.vote(handle, vote_id(1), [[2], [0]], comment="C lands softly").json == {"saved": vote_id(1)}
    (saved,) = votes(run)
    assert saved.rater == "ann" and saved.question == "round-1" and saved.ballot.comment == "C lands softly"
    shown = saved.ballot.shown
    assert set(shown) == set(ITEMS) and saved.ballot.order == ((shown[2],), (shown[0],))
    after = ann.next()
    assert after["asked"] is None and after["last"] == vote_id(1)


@pytest.mark.parametrize(
    ("form", "order"),
    [("ranking", [[3], [0, 2], [1]]), ("ranking", [[0, 1, 2, 3]]), ("unsure", []), ("best_worst", [[1], [3]])],
)
def test_every_form_of_answer(run, serve, enter, form: str, order: list) -> None:
    put(run, QUESTION)
    ann = enter(serve())
    assert ann.vote(ann.next()["asked"]["handle"], vote_id(1), order, form).status == 200
    (saved,) = votes(run)
    assert saved.ballot.form == form
    assert [[saved.ballot.shown.index(item) for item in group] for group in saved.ballot.order] == order


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"order": [[0]]}, "one best and one worst"),
        ({"order": [[0], [0]]}, "once at most"),
        ({"order": [[0], [4]]}, "no clip 4"),
        ({"order": [[0], [-1]]}, "no clip -1"),
        ({"form": "ranking", "order": [[0], [1]]}, "orders all items"),
        ({"form": "unsure", "order": [[0]]}, "gives no order"),
        ({"form": "other"}, "form"),
        ({"id": "x"}, "id"),
        ({"comment": "x" * 2001}, "comment"),
        ({"rater": "bob"}, "rater"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_and_not_kept(run, serve, enter, changes: dict, said: str) -> None:
    put(run, QUESTION)
    ann = enter(serve())
    right = {"id": vote_id(1), "asked": ann.next()["asked"]["handle"], "form": "best_worst", "order": [[0], [1]]}
    answer = ann.call("/api/vote", right | changes)
    assert answer.status == 400 and said in answer.json["error"]
    assert votes(run) == []


def test_ties_that_could_not_be_counted_are_refused(run, serve, enter) -> None:
    put(run, Question(id="round-1", items=tuple(f"c{n:02}" for n in range(16))))
    ann = enter(serve())
    handle = ann.next()["asked"]["handle"]
    many = ann.vote(handle, vote_id(1), [list(range(8)), list(range(8, 16))], "ranking")
    assert many.status == 400 and "too many to count" in many.json["error"]
    few = [[n, n + 1, n + 2, n + 3] for n in range(0, 16, 4)]
    assert ann.vote(handle, vote_id(2), few, "ranking").status == 200
    with VoteBook(run.root / "votes.sqlite", read_only=True) as book:
        assert len(standings(book.questions()[0].items, book.votes()).ranked) == 16


def test_nothing_counts_twice(run, serve, enter) -> None:
    put(run, QUESTION)
    served = serve()
    ann = enter(served)
    handle = ann.next()["asked"]["handle"]
    with ThreadPoolExecutor(8) as pool:  # a double click, and a lot more
        answers = list(pool.map(lambda _: ann.vote(handle, vote_id(1)), range(8)))
    assert [a.status for a in answers] == [200] * 8
    late = ann.vote(handle, vote_id(2), [[3], [2]])  # a second tab that still shows the question
    assert late.status == 409 and "already" in late.json["error"]
    assert [v.id for v in votes(run)] == [vote_id(1)]


def test_two_tabs_that_vote_at_the_same_moment_count_once(run, serve, enter) -> None:
    put(run, QUESTION)
    ann = enter(serve())
    handle = ann.next()["asked"]["handle"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: ann.vote(handle, vote_id(n)).status, range(8)))
    assert sorted(answers) == [200] + [409] * 7
    assert len(votes(run)) == 1


def test_undo_takes_back_one_answer_and_shows_it_again(run, serve, enter) -> None:
    put(run, QUESTION)
    ann = enter(serve(compare=ITEMS, at_a_time=3))
    first = ann.next()["asked"]["handle"]
    ann.vote(first, vote_id(1))
    second = ann.next()["asked"]["handle"]
    ann.vote(second, vote_id(2), [[1], [0], [2]], "ranking", "B is calm")
    taken = ann.call("/api/undo", {"id": vote_id(2)})
    assert taken.json == {"handle": second, "form": "ranking", "order": [[1], [0], [2]], "comment": "B is calm"}
    again = ann.call("/api/undo", {"id": vote_id(2)})  # a double click
    assert again.status == 409
    assert [v.id for v in votes(run)] == [vote_id(1)]
    assert ann.next()["asked"]["handle"] == second
    assert ann.vote(second, vote_id(2), [[1], [0], [2]], "ranking", "B is calm").status == 409  # came late: taken back
    assert ann.vote(second, vote_id(3), [[2], [0]]).status == 200
    assert [v.id for v in votes(run)] == [vote_id(1), vote_id(3)]


def test_raters_vote_apart(run, serve, enter) -> None:
    put(run, QUESTION)
    served = serve()
    ann, bob = enter(served, "ann"), enter(served, "bob")
    hers, his = ann.next()["asked"]["handle"], bob.next()["asked"]["handle"]
    assert hers != his
    assert bob.vote(hers, vote_id(1)).status == 409
    assert bob.call(f"/film/{hers}/0/0").status == 409
    ann.vote(hers, vote_id(2))
    assert bob.call("/api/undo", {"id": vote_id(2)}).status == 409
    assert bob.next()["asked"]["handle"] == his
    bob.vote(his, vote_id(3))
    assert {v.rater for v in votes(run)} == {"ann", "bob"}
    assert ann.call("/api/progress").json["raters"] == {"ann": 1, "bob": 1}


def test_a_rater_learns_nothing_of_the_candidates(run, serve, enter) -> None:
    put(run, QUESTION)
    ann = enter(serve(compare=ITEMS))
    state = ann.next()
    film = ann.call(f"/film/{state['asked']['handle']}/0/0")
    ann.vote(state["asked"]["handle"], vote_id(1))
    said = [json.dumps(state), json.dumps(ann.next()), json.dumps(ann.call("/api/progress").json)]
    said += [json.dumps(film.headers), json.dumps(ann.call("/api/undo", {"id": vote_id(1)}).json)]
    said.append(film.body.decode("latin1"))
    assert not any(item in text for item in ITEMS for text in said)


def test_films_come_whole_and_in_parts(run, serve, enter, films) -> None:
    put(run, QUESTION)
    ann = enter(serve())
    handle = ann.next()["asked"]["handle"]
    whole = ann.call(f"/film/{handle}/1/1")
    assert whole.status == 200 and whole.headers["content-type"] == "video/mp4"
    part = ann.call(f"/film/{handle}/1/1", headers={"Range": "bytes=4-7"})
    assert part.status == 206 and part.body == whole.body[4:8] == b"ftyp"
    shown = VoteOrder.of(run, ann, handle)
    assert whole.body == films.film(shown[1], 8).read_bytes()
    for place, episode in ((4, 0), (0, 2)):
        assert ann.call(f"/film/{handle}/{place}/{episode}").status == 409
    assert ann.call(f"/film/{'0' * 32}/0/0").status == 409
    assert ann.call(f"/film/{handle}/../../run.json").status == 404


class VoteOrder:
    @staticmethod
    def of(run, client: Client, handle: str) -> tuple[str, ...]:
        """The clips as the rater saw them: a vote says so."""
        client.vote(handle, vote_id(99))
        return next(v for v in votes(run) if v.id == vote_id(99)).ballot.shown


def test_one_set_in_ten_comes_again_and_looks_like_any_other(run, serve, enter) -> None:
    candidates = [f"c{n}" for n in range(8)]
    ann = enter(serve(compare=candidates, at_a_time=3))
    for number in range(20):
        asked = ann.next()["asked"]
        assert set(asked) == {"handle", "words", "clips", "episodes"}
        assert ann.vote(asked["handle"], vote_id(number)).status == 200
    assert [number for number, v in enumerate(votes(run)) if v.again] == [9, 19]


def test_a_finished_run_is_compared_until_every_set_was_seen(run, serve, enter) -> None:
    ann = enter(serve(compare=["a", "b", "c"], at_a_time=3))
    seen = []
    while (asked := ann.next()["asked"]) is not None:
        seen.append(asked["clips"])
        assert ann.vote(asked["handle"], vote_id(len(seen)), [[0], [1]]).status == 200
        assert len(seen) < 10
    assert seen == [3, 2, 2, 2]
    sure = ann.call("/api/progress").json["sure"]
    assert sure["steps"] == 2 and 0 <= sure["decided"] <= 2 and 0.5 <= sure["best"] <= 1 and len(sure["rows"]) == 3
    assert sure["rows"] == sorted(sure["rows"], key=lambda row: -row[1])


def test_nothing_is_asked_of_a_run_that_waits_for_training(run, serve, enter) -> None:
    ann = enter(serve())
    assert ann.next()["asked"] is None
    assert ann.call("/api/progress").json["questions"] == 0
    put(run, QUESTION)  # another process: the loop
    assert ann.next()["asked"]["clips"] == 4


def test_who_comes_late_is_asked_of_the_newest_round_only(run, serve, enter) -> None:
    put(run, QUESTION, Question(id="round-2", items=ITEMS[:3]))
    ann = enter(serve())
    handle = ann.next()["asked"]["handle"]
    ann.vote(handle, vote_id(1))
    assert [v.question for v in votes(run)] == ["round-2"]
    assert ann.next()["asked"] is None


def test_a_restart_changes_nothing(run, serve, enter) -> None:
    put(run, QUESTION)
    served = serve()
    ann = enter(served)
    handle = ann.next()["asked"]["handle"]
    served.close()
    again = serve(port=served.site.port)
    assert ann.next()["asked"]["handle"] == handle  # cookie and handle still hold
    assert ann.vote(handle, vote_id(1)).status == 200
    assert again.site.poll.last("ann") == vote_id(1)


def test_votes_of_other_processes_are_seen(run, serve, enter) -> None:
    put(run, QUESTION)
    ann = enter(serve())
    handle = ann.next()["asked"]["handle"]
    with VoteBook(run.root / "votes.sqlite") as book:
        ballot = Ballot(rater="ann", form="unsure", shown=ITEMS)
        book.cast(Vote(question="round-1", ballot=ballot))
    assert ann.next()["asked"] is None
    assert ann.vote(handle, vote_id(1)).status == 409
