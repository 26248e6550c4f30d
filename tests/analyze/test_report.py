"""The report: complete, self-contained, and safe whatever a model wrote."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.analyze.report import (
    Media,
    ReportCandidate,
    ReportData,
    ReportHeadline,
    RoundFeedback,
    Scores,
    render_report,
)
from rewardsmith.analyze.report.text import clean
from rewardsmith.types import CandidateState, CurvePoint, Finding, GoalKind, MemberResult
from tests.analyze.report_fixtures import BEST_CODE, candidate, member, realistic
from tests.helpers.results import kept_of

VOID = {"meta", "img", "br", "hr", "link", "input"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"onload="alert(1)',
    "'><img src=x onerror=alert(1)>",
    "</style><script>alert(1)</script>",
    "</title><svg onload=alert(1)>",
    "{{ 7*7 }}{% raw %}",
    "\x1b[31mred\x1b[0m\x07\x00",
    "\u202eevil\u2066\u200b",
    "\ud800 lone surrogate",
    "</pre></details></main>",
    "javascript:alert(1)",
    "&lt;b&gt; & é 日本",
]


class Page(HTMLParser):
    """Parses strictly enough to tell whether text broke out of its place."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.problems: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self) -> str:
        return "".join(self.text)


def checked(data: ReportData) -> Page:
    """Render, parse, and assert everything that must hold for every report."""
    html = render_report(data)
    html.encode("utf-8")
    page = Page(html)
    assert page.problems == []
    assert page.open == []
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "object", "embed", "form", "base", "link"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src"):
            if (target := attributes.get(name)) is not None:
                assert re.match(r"#|data:(video/mp4|image/png);base64,", target or ""), target
    assert "\x1b" not in html
    assert "\x00" not in html
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", html)
    assert "nan" not in " ".join(str(a) for tag, a in page.tags if tag in {"path", "circle", "rect", "text"}).lower()
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    return page


def bare(**changes) -> ReportData:
    return ReportData(**{"run_id": "r", "words": "hop", "environment": "hopper", "goal_kind": "pack", **changes})


def test_the_realistic_report_shows_everything():
    page = checked(realistic(films=True))
    for expected in (
        "Land softly between the flags",
        "The designed reward beats the sparse one on success.",
        "93 %",
        "95 % interval",
        "gate.import",
        "recorded transcript",
        "What changed against r1-1.fix1",
        "hovers: the mean episode",
        "31,412",
        "3 min 24 s",
        "environment pack's own metric",
        "keep the engines quiet",
        "stopped being finite",
        "no code block with a function",
    ):
        assert expected in page.words, expected
    for line in BEST_CODE.splitlines():
        assert line in page.words
    assert {"video", "img", "svg"} <= {tag for tag, _ in page.tags}


def test_references_are_drawn_in_the_search_when_nothing_was_retrained():
    fresh = checked(realistic())
    assert "Learning on fresh seeds" in fresh.words
    only_search = realistic().model_copy(update={"final_members": ()})
    page = checked(only_search)
    assert "Learning on fresh seeds" not in page.words
    assert page.words.count("sparse reference:") == fresh.words.count("sparse reference:") == 2


def test_the_policy_allows_the_one_style_and_nothing_else():
    html = render_report(realistic())
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = next(a["content"] for t, a in Page(html).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy
    assert "unsafe" not in policy
    assert not re.search(r"url\(|@import|https?://", style[1])
    assert "http://" not in html
    assert "https://" not in html


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_everywhere(text):
    names = (text, "other")
    bad = ReportCandidate(
        id=text,
        round=1,
        state=CandidateState.ACCEPTED,
        origin="model",
        code=f"# {text}\n{text}\n",
        parents=(text, "p" + text),
        repair_of=text,
        thoughts=text,
        failure=text,
        findings=(Finding(id=text, severity="refuse", message=text, hint=text, line=1),),
        members=(member(text, 0, 0.5, names=names), member(text, 1, 0.5, names=names, state="diverged", error=text)),
        reflection=text,
        observations=(text, text),
    )
    other = bad.model_copy(
        update={"id": "p" + text, "code": text + "\nx = 1", "state": CandidateState.OUTSCORED, "round": 0}
    )
    data = ReportData(
        run_id=text, words=text, wishes=(text,), environment=text, environment_about=text, goal_kind="model",
        goal_about=text,
        created=text, designer=text, method=text, candidates=(bad, other), best=text, diff_base="p" + text,
        references={text: (member("x", 0, 0.1),)}, feedbacks=(RoundFeedback(round=1, text=text, about=text),),
        versions={text: text}, hardware=text, command=text, notes=(text,),
        media=(Media(kind="mp4", data=text.encode(errors="replace"), caption=text),),
        headline=ReportHeadline(designed=Scores(success=(0.5,)), sparse=None),
    )  # fmt: skip
    assert checked(data).words.count(clean(text)) >= 20


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=200), st.text(max_size=60))
def test_any_text_gives_a_well_formed_page(code, words):
    one = candidate("a", 1, CandidateState.ACCEPTED, code=code, reflection=words, thoughts=code)
    two = candidate("b", 0, CandidateState.OUTSCORED, code=words)
    checked(bare(words=words, candidates=(two, one), best="a", diff_base="b", notes=(code,)))


@pytest.mark.parametrize(
    "status", ["finished", "interrupted", "running", "nothing acceptable", "budget spent", "failed"]
)
def test_a_run_without_candidates(status):
    page = checked(bare(status=status))
    assert "No reward was proposed." in page.words


def test_no_winner():
    page = checked(bare(status="nothing acceptable", candidates=(candidate("a", 1, CandidateState.REFUSED),)))
    assert "No reward was acceptable." in page.words
    assert "The reward" not in [t.strip() for t in page.text]


def test_one_candidate_without_curves_is_best_but_not_measured():
    page = checked(bare(candidates=(candidate("a", 1, CandidateState.ACCEPTED),), best="a"))
    assert "not measured yet" in page.words


def test_a_best_that_is_not_among_the_candidates():
    assert (
        "No reward was acceptable."
        in checked(bare(candidates=(candidate("a", 1, CandidateState.CHECKED),), best="x")).words
    )


def test_many_candidates():
    many = tuple(
        candidate(f"r{r}-{k}", r, CandidateState.OUTSCORED, 0.5, parents=(f"r{r - 1}-0",))
        for r in range(1, 5)
        for k in range(16)
    )
    page = checked(bare(candidates=many, best="r3-7"))
    assert sum(tag == "details" and "candidate" in (a.get("class") or "") for tag, a in page.tags) == 64


@pytest.mark.parametrize("state", list(CandidateState))
def test_every_state_has_words(state):
    checked(bare(candidates=(candidate("a", 1, state, 0.5),), best="a"))


@pytest.mark.parametrize("kind", ["pack", "metric_file", "model", "people", "native"])
def test_every_goal_kind_is_named(kind: GoalKind):
    assert "uccess is" in checked(bare(goal_kind=kind)).words


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308, -1e308, 0.0, 1e-320])
def test_numbers_that_no_axis_can_hold(value):
    points = tuple(
        CurvePoint(env_steps=s, fitness=value, success=value, episode_length=value, episodes=1, components={"a": value})
        for s in (0, 100)
    )
    normal = member("a", 1, 0.5)
    broken = MemberResult(
        candidate="a", seed=0, state="trained", env_steps=100, wall_s=math.nan, curve=points, kept=kept_of(points)
    )
    scores = Scores(success=(value,) * 5, fitness=(value, 1.0, 2.0, 3.0, 4.0))
    checked(
        bare(
            candidates=(
                candidate("a", 1, CandidateState.ACCEPTED, members=(broken, normal)),
                candidate("b", 1, CandidateState.OUTSCORED, members=(broken,)),
            ),
            best="a",
            headline=ReportHeadline(designed=scores, sparse=scores),
        )
    )


def test_a_curve_of_one_point_and_a_member_without_one():
    members = (member("a", 0, 0.5, points=1), member("a", 1, 0.5, points=0))
    checked(bare(candidates=(candidate("a", 1, CandidateState.ACCEPTED, members=members),), best="a"))


def test_candidates_that_are_their_own_parents():
    loop = (
        candidate("a", 1, CandidateState.OUTSCORED, parents=("a", "b")),
        candidate("b", 1, CandidateState.OUTSCORED, parents=("a",), repair_of="c"),
        candidate("c", 1, CandidateState.ACCEPTED, repair_of="b"),
    )
    checked(bare(candidates=loop, best="c"))
