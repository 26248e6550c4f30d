"""The page in a real browser, used as people use it: by mouse, by keyboard, on a phone, through a server's restart."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

import pytest

from rewardsmith.prefer.votes import Question
from tests.web.browser import CHROMIUM, Browser, Page, until
from tests.web.conftest import ITEMS, QUESTION, put, votes
from tests.web.films import TestFilms

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")]

READY = "document.querySelectorAll('.clip video').length && !document.querySelector('.clip.loading')"
TIMES = "[...document.querySelectorAll('.clip video')].map((v) => v.currentTime)"
ASKED = "!document.querySelector('#ask').hidden"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser, serve) -> Iterator[Callable[..., Page]]:
    """Opens pages as raters; a fault that the browser saw on any of them fails the test."""
    pages: list[Page] = []

    def open_page(link: str, *, ready: str = READY, **options) -> Page:
        page = browser.page(link, **options)
        pages.append(page)
        page.wait(ready)
        return page

    yield open_page
    faults = [fault for page in pages for fault in page.faults() if "ERR_CONNECTION_REFUSED" not in fault]
    for page in pages:
        browser.close(page)
    assert faults == []


def orders(run) -> list[list[list[int]]]:
    return [[[v.ballot.shown.index(i) for i in group] for group in v.ballot.order] for v in votes(run)]


def test_a_whole_human_run(run, serve, opened) -> None:
    put(run, QUESTION)
    served = serve(rater="ann", task="Hop forward")
    page = opened(served.link)
    assert "#" not in page.run("location.href")
    assert page.text("#task") == "Hop forward" and "Does it hop?" in page.text("#words")

    # the clips play, in step
    first = page.run(TIMES)
    page.wait(f"{TIMES}.every((t, i) => t !== {first}[i])")
    page.wait(f"(() => {{ const t = {TIMES}; return Math.max(...t) - Math.min(...t) < 0.15 && t[0] > 0.2; }})()")

    # nothing can be sent before both picks; a reload keeps them, and the comment
    page.click("[data-place='2'] .best")
    assert page.run("document.querySelector('#send').disabled")
    page.click("[data-place='0'] .worst")
    page.click("#comment")
    page.type("C lands softly, A drags its foot")
    page.go(f"http://127.0.0.1:{served.site.port}/")
    page.wait(READY)
    assert page.run("document.querySelector('#comment').value").startswith("C lands")
    assert page.run("[...document.querySelectorAll('[aria-pressed=true]')].map((b) => b.ariaLabel)") == [
        "A is the worst",
        "C is the best",
    ]

    # a double click counts once
    page.click("#send", times=2)
    page.wait("!document.querySelector('#wait').hidden")
    assert orders(run) == [[[2], [0]]] and votes(run)[0].ballot.comment == "C lands softly, A drags its foot"

    # undo brings the answer back, to be given again
    page.key("u")
    page.wait(READY)
    assert votes(run) == []
    assert page.run("document.querySelector('#comment').value").startswith("C lands")
    page.click("[data-place='1'] .worst")
    page.click("#send")
    page.wait("!document.querySelector('#wait').hidden")
    assert orders(run) == [[[2], [1]]]

    # a second rater has votes of their own
    page.click("#people summary")
    page.click("#name")
    page.type("bob")
    page.key("Enter")
    page.wait("document.querySelector('#link').value")
    other = opened(page.run("document.querySelector('#link').value"))
    other.click("#unsure")
    other.wait("!document.querySelector('#wait').hidden")
    assert [(v.rater, v.ballot.form) for v in votes(run)] == [("ann", "best_worst"), ("bob", "unsure")]

    # new clips appear by themselves; the server is away while a vote is given, and comes back
    put(run, Question(id="round-2", items=ITEMS[:3]))
    page.wait(ASKED)
    page.wait(READY)
    served.close()
    page.key("b")
    page.key("a", shift=True)
    page.key("Enter")
    page.wait("document.querySelector('#notice').innerText.startsWith('The server does not answer')")
    assert len(votes(run)) == 2
    serve(port=served.site.port)
    until(lambda: len(votes(run)) == 3, "the vote arrives")
    assert orders(run)[-1] == [[1], [0]] and votes(run)[-1].rater == "ann"
    page.wait("!document.querySelector('#wait').hidden && document.querySelector('#notice').hidden")
    other.wait(ASKED)  # and the other rater's page goes on too


def test_by_keyboard_alone(run, serve, opened) -> None:
    put(run, QUESTION)
    page = opened(serve(rater="ann", compare=ITEMS, at_a_time=3).link)
    page.key("4")
    page.key("B", shift=True)
    assert "Best: D" in page.text("#how") and "Worst: B" in page.text("#how")
    page.key("/")
    page.type("abc")
    page.key("Escape")
    page.key(" ")
    assert page.run("document.querySelector('#play').ariaLabel") == "Play"
    page.key("Enter")
    until(lambda: len(votes(run)) == 1, "the vote is there")
    assert orders(run) == [[[3], [1]]] and votes(run)[0].ballot.comment == "abc"
    page.wait("document.querySelectorAll('.clip').length === 3")
    page.wait(READY)
    page.key("t")
    until(lambda: len(votes(run)) == 2, "the second is there")
    page.wait("!busy")
    page.key("u")
    until(lambda: len(votes(run)) == 1, "it is taken back")


def test_after_clicks_enter_sends_and_letters_are_those_of_the_keyboard(run, serve, opened) -> None:
    put(run, QUESTION)
    page = opened(serve(rater="ann", compare=ITEMS, at_a_time=3).link)
    page.click("[data-place='1'] .best")
    page.click("[data-place='3'] .worst")
    page.key("Enter")
    until(lambda: orders(run) == [[[1], [3]]], "the vote is there")
    page.wait(f"!busy && {READY}")
    page.key("a", code="KeyQ")  # a French keyboard
    page.key('"', code="Digit3", shift=True)
    page.key("Enter")
    until(lambda: len(votes(run)) == 2, "the second is there")
    assert orders(run)[1] == [[0], [2]]


def test_a_ranking_by_finger(run, serve, opened) -> None:
    put(run, QUESTION)
    page = opened(serve(rater="ann").link, width=375, height=700)
    page.socket.call("Emulation.setTouchEmulationEnabled", enabled=True)
    page.click("[data-mode=ranking]")
    for place in (3, 1):
        page.click(f"[data-place='{place}'] .next button")
    page.touch_drag("[data-chip='0']", "[data-gap='1']")
    assert page.run("answer.groups") == [[3], [0], [1]]
    page.touch_drag("[data-chip='2']", "[data-row='0'] > span")
    assert page.run("answer.groups") == [[3, 2], [0], [1]]
    page.click("#send")
    until(lambda: orders(run) == [[[3, 2], [0], [1]]], "the vote is there")


def test_every_control_can_be_reached_and_has_a_name(run, serve, opened) -> None:
    put(run, QUESTION)
    page = opened(serve(rater="ann").link)
    nameless = page.run(
        "[...document.querySelectorAll('button, input, textarea')].filter((e) => e.checkVisibility())"
        ".filter((e) => !(e.ariaLabel || e.innerText.trim() || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert nameless == []
    seen = []
    for _ in range(40):
        page.key("Tab")
        seen.append(page.run("document.activeElement.ariaLabel || document.activeElement.innerText.trim()"))
        outline = page.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid" or page.run("document.activeElement === document.body")
    assert {"A is the best", "D is the worst", "Pause", "Cannot tell", "Keys"} <= set(seen)


def test_a_ranking_with_ties_by_drag_and_by_keys(run, serve, opened) -> None:
    put(run, QUESTION)
    page = opened(serve(rater="ann", compare=ITEMS).link)
    page.click("[data-mode=ranking]")
    for place in (2, 0):
        page.click(f"[data-place='{place}'] .next button")
    page.drag("[data-chip='3']", "[data-gap='0']")  # before all others
    assert page.run("answer.groups") == [[3], [2], [0]]
    page.drag("[data-chip='1']", "[data-row='2'] > span")  # a tie
    assert page.run("answer.groups") == [[3], [2], [0, 1]]
    assert "3rd =" in page.text("#board")
    page.run("document.querySelector(\"[data-chip='0']\").focus()")
    page.key("ArrowUp")  # out of the tie, then into the next one
    assert page.run("answer.groups") == [[3], [2], [0], [1]]
    page.key("ArrowUp")
    assert page.run("answer.groups") == [[3], [2, 0], [1]]
    page.key("ArrowDown")
    page.drag("[data-chip='3']", "[data-gap='4']")
    assert page.run("answer.groups") == [[2], [0], [1], [3]]
    page.key("=")
    page.click("#send")
    until(lambda: len(votes(run)) == 1, "the vote is there")
    assert orders(run) == [[[2], [0], [1, 3]]]


def test_pairs(run, serve, opened) -> None:
    put(run, Question(id="round-1", items=ITEMS[:2]))
    page = opened(serve(rater="ann", compare=ITEMS[:3], at_a_time=2).link)
    page.key("=")
    page.key("Enter")
    until(lambda: len(votes(run)) == 1, "a tie")
    page.wait(f"{READY} && document.querySelector('#said').innerText")
    page.click("[data-place='1'] .best")
    page.click("#send")
    until(lambda: len(votes(run)) == 2, "a choice")
    assert orders(run) == [[[0, 1]], [[1], [0]]]
    page.wait("!document.querySelector('#sure').hidden")
    assert "of 2 steps" in page.text("#sure-text")


@pytest.mark.parametrize("clips", [2, 4, 7])
def test_a_phone(run, serve, opened, clips: int) -> None:
    put(run, Question(id="round-1", items=tuple(f"c{n}" for n in range(clips)), words="W" * 300))
    page = opened(serve(rater="ann", task="x" * 300).link, width=375, height=700)
    assert page.run("document.documentElement.scrollWidth") <= 375
    small = page.run(
        "[...document.querySelectorAll('#ask button')].filter((e) => e.checkVisibility())"
        ".map((e) => [e.innerText, e.getBoundingClientRect()]).filter(([, r]) => r.height < 34 || r.width < 34)"
    )
    assert small == []
    page.click("[data-place='0'] .best")
    if clips > 2:
        page.click("[data-place='1'] .worst")
    page.click("#send")
    until(lambda: len(votes(run)) == 1, "the vote is there")


def test_a_second_tab_follows_the_first(run, serve, opened, browser) -> None:
    put(run, QUESTION)
    served = serve(rater="ann")
    first = opened(served.link)
    second = browser.tab(first, f"http://127.0.0.1:{served.site.port}/")
    second.wait(READY)
    first.key("t")
    second.wait("!document.querySelector('#wait').hidden")
    assert len(votes(run)) == 1 and second.faults() == []


def test_another_start_is_the_same_for_all(run, serve, opened, film_folder) -> None:
    films = TestFilms(film_folder, count=3)
    put(run, Question(id="round-1", items=("s0", "s1", "s3")))
    page = opened(serve(rater="ann", films=films).link)
    before = page.run("[...document.querySelectorAll('video')].map((v) => v.src)")
    page.key("n")
    page.wait(f"{READY} && document.querySelector('#episode').innerText === 'Start 2 of 3'")
    page.wait(f"[...document.querySelectorAll('video')].every((v) => !{before}.includes(v.src))")
    assert {("s0", 8), ("s1", 8), ("s3", 8)} <= set(films.made)
    page.wait("document.querySelector('.clip.ended .note')?.innerText.startsWith('ended after')")  # s3 is shorter


def test_who_wants_less_motion_starts_the_clips(run, serve, opened) -> None:
    put(run, QUESTION)
    page = opened(serve(rater="ann").link, prefers_reduced_motion="reduce")
    assert page.run("document.querySelector('#play').ariaLabel") == "Play" and page.run(TIMES) == [0, 0, 0, 0]
    page.click("#play")
    page.wait(f"{TIMES}.every((t) => t > 0)")


def test_hostile_texts_stay_texts(run, serve, opened) -> None:
    attack = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    put(run, Question(id="round-1", items=ITEMS, words=f"Look {attack}"))
    page = opened(serve(rater="<b>eve</b>", task=attack).link)
    assert page.text("#task") == attack and attack in page.text("#words")
    page.wait("document.querySelector('#who').innerText.startsWith('<b>eve</b>')")
    assert "owned" not in page.run("document.title")
    refused = page.run(
        "new Promise((done) => { document.addEventListener('securitypolicyviolation', () => done(true));"
        " document.body.append(Object.assign(document.createElement('script'), {text: '1'})); })"
    )
    assert refused is True
    page.socket.events.clear()  # of that refusal


def test_a_film_that_cannot_be_made_says_why_and_voting_goes_on(run, serve, opened, film_folder) -> None:
    from rewardsmith.analyze.video import VideoError

    class Broken(TestFilms):
        def film(self, candidate, seed):
            if candidate == ITEMS[1]:
                raise VideoError("no ffmpeg was found", hint="pip install imageio-ffmpeg")
            return super().film(candidate, seed)

    put(run, QUESTION)
    served = serve(rater="ann", films=Broken(film_folder, count=1))
    page = opened(served.link, ready="document.querySelectorAll('.clip video').length === 3")
    assert "no ffmpeg was found" in page.text(".clip.loading .note")
    page.key("t")
    until(lambda: len(votes(run)) == 1, "the vote is there")
    page.socket.events.clear()  # the browser reports the answer 503 as a fault


def test_a_used_link_says_so(run, serve, opened, browser) -> None:
    served = serve(rater="ann")
    opened(served.link, ready="document.querySelector('#wait-title').innerText.includes('Nothing to compare')")
    late = browser.page(served.link)
    late.wait("document.querySelector('#wait-title').innerText.includes('used before')")
    browser.close(late)


def test_the_page_is_there_within_a_second(run, serve, opened, browser) -> None:
    put(run, QUESTION)
    served = serve(rater="ann")
    page = opened(served.link)
    painted = []
    for _ in range(3):
        page.go(f"http://127.0.0.1:{served.site.port}/")
        page.wait("performance.getEntriesByName('first-contentful-paint').length")
        painted.append(page.run("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    print(f"first paint after {statistics.median(painted):.0f} ms")
    assert statistics.median(painted) < 1000
