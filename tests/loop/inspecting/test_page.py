"""The page: nothing of others runs in it, and its numbers are those that it was given."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import numpy as np
import pytest

from rewardsmith.clips import Clip
from rewardsmith.loop.distances import CoverageSize, DistanceMatrix, DistanceReport
from rewardsmith.loop.inspecting.changes import Changes, ParameterChange
from rewardsmith.loop.inspecting.episodes import TOTAL, Episode
from rewardsmith.loop.inspecting.inspection import _sums
from rewardsmith.loop.inspecting.measures import shares
from rewardsmith.loop.inspecting.page import Content, Other, _path, page_of, scale, signed, unpacked
from rewardsmith.loop.inspecting.slices import Axis, Dots, Held, Slices
from rewardsmith.types import Finding
from tests.analyze.test_report import HOSTILE, Page
from tests.loop.inspecting.conftest import CLIMB, PLACE

STEPS, GRID = 7, 5


class NamedOnly:
    """As much of a program as the page asks for, with names that no program could have."""

    uses_memory, has_potential, structural = False, False, ()

    def __init__(self, *names: str) -> None:
        self.component_names, self.parameters = names, {f"weight {names[0]}": 2.0}


def clip(**changes: Any) -> Clip:
    given = {
        "env": "tiny", "seed": 0, "dt": 0.1, "fps": 10.0, "ended": "terminated",
        "shown": np.array([0, 2, 4, 6, 7]), "action": np.zeros((STEPS, 1), np.float32),
        "features": {"x": np.arange(STEPS + 1, dtype=np.float32), "y": np.zeros((STEPS + 1, 2), np.float32)},
        "states": {}, "total": None, "components": {},
    }  # fmt: skip
    return Clip(**{**given, **changes})


def content(text: str = "plain", *, code: str = PLACE, film: bytes | None = b"film", other: bool = True) -> Content:
    """A page on which every name, word and line is `text`."""
    rng = np.random.default_rng(0)
    series = lambda names: {name: rng.normal(size=STEPS).astype(np.float32) for name in names}
    paid = [series((TOTAL, text))]
    episode = Episode(text, clip(), film, text)
    axes = (
        Axis(f"{text} x", "x", (), text, np.linspace(-1, 1, GRID), False, True),
        Axis(f"{text} y[1]", "y", (1,), text, np.linspace(0, 3, GRID), False, False),
    )
    found = Slices(
        axes, (1, 0), (TOTAL, text), *({(0, 1): rng.normal(size=(2, GRID, GRID)).astype(np.float32)} for _ in range(2)),
        (Dots(text, rng.normal(size=(2, 3)), rng.normal(size=(2, 3))),),
        (Held(text, 1.0, text),), (Held(text, 0.0, ""),),
    )  # fmt: skip
    compared = None
    if other:
        matrix = DistanceMatrix(matrix=((0.0, 0.25), (0.25, 0.0)), left_out={})
        none = DistanceMatrix(matrix=None, left_out={text: text}, note="")
        size = CoverageSize(about=text, states=1, actions=1, second_actions=0, terminated=0, env_steps=1)
        distances = DistanceReport(
            env="e", gamma=0.9, seed=0, names=("a", "b"), starc=matrix, epic=none, dard=none, uninformative=(),
            refused={}, coverage=size,
        )  # fmt: skip
        changes = Changes(
            before=f"{text} old", after=text, parameters=(ParameterChange(name=text, before=None, after=1.0),),
            added=(text,), removed=(f"{text} gone",), kept=(), other=(text,), distances=distances,
        )  # fmt: skip
        compared = Other(f"{text} old", CLIMB, [series((TOTAL, f"{text} gone"))], changes)
    return Content(
        label=text, env=text, about=text, code=code, program=NamedOnly(text),  # type: ignore[arg-type]
        episodes=[episode], paid=paid, components=shares(paid), unexplained=0.5, slices=found,
        findings=[Finding(id="gate.import", severity="warn", message=text, hint=text, line=2)], other=compared,
        sums=_sums([episode], paid, compared.paid if compared else None), notes=[text], gamma=0.9,
    )  # fmt: skip


def data_of(html: str) -> dict[str, Any]:
    found = re.search('<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize("text", [*HOSTILE, "</script><script>alert(1)</script>", "{{ 7 * 7 }}", '" onload="x'])
def test_hostile_text_stays_text_everywhere(text) -> None:
    plain, page = Page(page_of(content())), Page(page_of(content(text)))
    assert page.problems == [] and page.open == []
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert len(re.findall("(?i)<script", page_of(content(text)))) == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_code_is_shown_as_code(text) -> None:
    comment = "\n".join(f"# {line}" for line in text.splitlines())
    html = page_of(content(code=f'def compute_reward():\n    """</pre></script>"""\n{comment}\n'))
    page = Page(html)
    assert page.problems == [] and page.open == []
    assert "</pre></script>" in page.words


def test_the_policy_allows_one_style_and_one_script_and_no_request() -> None:
    html = page_of(content("<b>"))
    policy = next(a["content"] for t, a in Page(html).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'") and "unsafe" not in policy
    for kind in ("style", "script"):
        found = re.search(f"<{kind}>(.*?)</{kind}>", html, re.DOTALL)
        assert found is not None and not re.search(r"url\(|@import|https?://|innerHTML|eval\(", found[1])
        assert f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}'" in policy
    addresses = [a[name] for _, a in Page(html).tags for name in ("src", "href", "srcset") if name in a]
    assert addresses and all(address and address.startswith("data:") for address in addresses)
    assert " style=" not in html


def test_the_scripts_numbers_are_those_given() -> None:
    given = content()
    data = data_of(page_of(given))
    [episode] = data["episodes"]
    assert (episode["steps"], episode["stride"], episode["fps"], episode["dt"]) == (STEPS, 2, 10.0, 0.1)
    own, other = given.paid[0], given.other.paid[0]  # type: ignore[union-attr]
    rows = [TOTAL, "plain", "plain gone"]
    for row, name in enumerate(rows):
        for series, packed in ((own, episode["now"][row]), (other, episode["then"][row])):
            assert (packed is None) == (name not in series)
            if packed is not None:
                assert np.array_equal(unpacked(packed), series[name])
    assert np.array_equal(unpacked(episode["features"][0]), np.arange(STEPS + 1))
    heat, found = data["heat"], given.slices
    assert found is not None and heat["size"] == GRID and heat["first"] == [1, 0]
    for grids, packed in zip((found.still, found.moved), heat["maps"], strict=True):
        for values, grid in zip(grids[0, 1], packed["0,1"], strict=True):
            read = grid["low"] + unpacked(grid["levels"], "<u2") / 65534 * (grid["high"] - grid["low"])
            np.testing.assert_allclose(read.reshape(GRID, GRID), values, atol=1e-4 * np.ptp(values))
    assert (heat["axes"][1]["low"], heat["axes"][1]["high"]) == (0, 3)
    assert np.array_equal(unpacked(heat["dots"][0]["at"][1]), found.dots[0].at[1].astype(np.float32))


def test_a_map_with_holes_says_where_they_are() -> None:
    given = content()
    assert given.slices is not None
    values = given.slices.still[0, 1]
    values[0, 1, 2], values[1] = np.inf, np.nan
    holed, empty = data_of(page_of(given))["heat"]["maps"][0]["0,1"]
    levels = unpacked(holed["levels"], "<u2").reshape(GRID, GRID)
    assert levels[1, 2] == 65535 and (levels == 65535).sum() == 1
    assert (unpacked(empty["levels"], "<u2") == 65535).all() and empty["low"] == empty["high"] == 0


def test_a_reward_that_pays_for_change_shows_steps_first() -> None:
    given = content()
    assert given.slices is not None and data_of(page_of(given))["heat"]["mode"] == 0
    given.slices.still[0, 1][0] = -0.3
    assert data_of(page_of(given))["heat"]["mode"] == 1
    alone = given._replace(slices=given.slices._replace(moved={}))
    assert data_of(page_of(alone))["heat"]["mode"] == 0 and "to such a one" not in page_of(alone)


def test_what_changed_is_told() -> None:
    page = Page(page_of(content()))
    for words in ("added: plain", "removed: plain gone", "0.250", "cannot be computed: plain: plain", "What changed"):
        assert words in page.words, words
    assert 'class="d added"' in page_of(content()) and 'class="d removed"' in page_of(content())
    alone = Page(page_of(content(other=False)))
    assert "What changed" not in alone.words and "Dashed" not in alone.words


def test_without_films_and_maps_there_are_charts() -> None:
    given = content(film=None)._replace(slices=None)
    tags = [tag for tag, _ in Page(page_of(given)).tags]
    assert "video" not in tags and "canvas" not in tags and tags.count("path") >= 3


def test_a_long_film_is_whole() -> None:
    film = bytes(200_000)
    assert f"base64,{base64.b64encode(film).decode()}" in page_of(content(film=film))


# --- lines


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](\S+) ([-\d.]+)", path)]


def test_a_line_goes_through_every_step_and_leaves_out_what_is_no_number() -> None:
    path = _path(np.array([1.0, 2.0, np.nan, 4.0]), lambda value: 10 * value)
    assert points(path) == [(250, 10), (500, 20), (1000, 40)] and path.count("M") == 2
    assert _path(np.array([np.nan, np.inf]), lambda value: value) == ""


def test_a_long_line_keeps_its_extremes() -> None:
    values = np.zeros(10_000)
    values[[1234, 7001]] = 5.0, -3.0
    found = points(_path(values, lambda value: value))
    assert len(found) <= 801 and {y for _, y in found} == {0.0, 5.0, -3.0}
    assert (123.5, 5.0) in found


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 3.0], (1, 3, False)), ([-1.0, 3.0], (-3, 3, True)), ([np.nan], (0, 0, False)), ([0.0, 2.0], (0, 2, False))],
)
def test_colours_part_at_zero(values, expected) -> None:
    assert scale(np.array(values)) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.0, "0"),
        (None, "n/a"),
        (float("nan"), "n/a"),
        (-0.00026, "\u22120.00026"),
        (12.345, "12.3"),
        (45678, "45.7k"),
    ],
)
def test_numbers_in_tables(value, text) -> None:
    assert signed(value) == text
