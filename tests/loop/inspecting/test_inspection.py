"""`inspect_reward` and its verb, from a name to a page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rewardsmith.cli import app
from rewardsmith.cli.inspect import _names
from rewardsmith.config import DesignConfig
from rewardsmith.envs import resolve_env
from rewardsmith.errors import EXIT_NOTHING_ACCEPTABLE, NothingAcceptable, RewardsmithError, RunError, UsageError
from rewardsmith.loop.inspecting import inspect_reward
from rewardsmith.loop.inspecting.episodes import TOTAL, pay_clip, play
from rewardsmith.loop.inspecting.page import unpacked
from rewardsmith.store import RunFolder
from rewardsmith.types import EnvSpec
from tests.analyze.test_report import Page
from tests.loop.inspecting.conftest import PLACE
from tests.loop.inspecting.test_page import data_of
from tests.loop.runs import ENV
from tests.web.browser import CHROMIUM, Browser

pytestmark = pytest.mark.usefixtures("warm")


@pytest.mark.slow
def test_a_candidate_of_a_run_against_another_one(run, tmp_path, compiled) -> None:
    out = tmp_path / "page.html"
    found = inspect_reward("latest", against="latest:r1s1", runs=run.parent, out=out, films=False)
    assert found.path == out and found.env == ENV and found.reward == f"r1s0 of {run.name}"
    assert [e.seed for e in found.episodes] == [0, 1, 2]
    assert "best policy that was trained on r1s0" in found.notes[0]
    changes = found.against
    assert changes is not None and changes.added == ("bonus", "place") and changes.removed == ("climb", "force")
    assert {(p.name, p.before, p.after) for p in changes.parameters} == {("cost", 0.1, None), ("weight", 1.0, 2.0)}
    matrix = changes.distances.starc.matrix
    assert matrix is not None and 0 < matrix[0][1] <= 2  # type: ignore[operator]
    # the numbers in the page are those of the program on these episodes
    html = out.read_text()
    policy = run / "candidates" / "r1s0" / "seeds" / "0" / "policy.safetensors"
    first = next(play(resolve_env(ENV), policy, seconds=20, films=False))
    paid = pay_clip(compiled(PLACE), first.clip, gamma=0.99)
    shown = unpacked(data_of(html)["episodes"][0]["now"][0])
    np.testing.assert_array_equal(shown, paid[TOTAL])
    assert found.episodes[0].sums[TOTAL] == pytest.approx(float(paid[TOTAL].sum()), rel=1e-4)
    page = Page(html)
    assert page.problems == [] and page.open == [] and out.stat().st_size < 5_000_000
    for words in ("added: bonus", "removed: force", "weight", "bonus = 10.0 *", "climb"):
        assert words in page.words, words


def test_a_file_is_shown_on_policies_that_need_no_learning(files, tmp_path) -> None:
    found = inspect_reward(
        files["furthest"], ENV, out=tmp_path / "a.html", features=["velocity", "position"], films=False
    )
    assert [e.title for e in found.episodes] == ["random actions", "no action", "to and fro"]
    assert found.uses_memory and found.shown == ("velocity", "position")
    assert "a file has no policy of its own" in found.notes[0]
    words = Page((tmp_path / "a.html").read_text()).words
    assert "memory is as at an episode" in words and "the potential" in words and "potential shaping" in words


def test_a_candidate_without_a_policy_says_so_and_takes_one(run, tmp_path) -> None:
    policy = run / "candidates" / "r1s0" / "seeds" / "0" / "policy.safetensors"
    without = inspect_reward("latest:r1s1", runs=run.parent, out=tmp_path / "a.html", films=False)
    assert "no policy was trained on this candidate" in without.notes[0]
    given = inspect_reward("latest:r1s1", runs=run.parent, policy=policy, out=tmp_path / "a.html", films=False)
    assert "policy.safetensors" in given.notes[0] and "trained policy" in given.episodes[0].title


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"reward": "climb.py"}, UsageError, "which environment"),
        ({"reward": "climb.py", "env": "no-such-env"}, RewardsmithError, "no-such-env"),
        ({"reward": "missing.py", "env": ENV}, UsageError, "cannot read"),
        ({"reward": "human", "env": "CartPole-v1"}, UsageError, "no human reward"),
        ({"reward": "climb.py", "env": ENV, "against": "climb.py"}, UsageError, "with itself"),
        ({"reward": "climb.py", "env": ENV, "against": "bad.py"}, NothingAcceptable, "bad.py is refused: gate.import"),
        ({"reward": "bad.py", "env": ENV}, NothingAcceptable, r"bad.py is refused: gate.import \(line 1\)"),
        ({"reward": "climb.py", "env": ENV, "features": ["height", "hight"]}, UsageError, "did you mean height"),
        ({"reward": "climb.py", "env": ENV, "policy": "missing.safetensors"}, RunError, "no policy at"),
        ({"reward": "latest", "env": "cartpole"}, UsageError, f"is of {ENV}, not of cartpole"),
        ({"reward": "latest:r5s5"}, RunError, "unknown candidate"),
        ({"reward": "climb.py", "env": ENV, "seconds": 0}, UsageError, "up to 60 s"),
    ],
)
def test_what_cannot_work_says_why_and_leaves_no_page(
    arguments, error, said, run, files, tmp_path, monkeypatch
) -> None:
    (tmp_path / "bad.py").write_text("import os\n" + PLACE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said):
        inspect_reward(**arguments, runs=run.parent, films=False)
    assert not (tmp_path / "inspect.html").exists()


def test_a_run_of_somebody_else_builds_no_environment_of_its_own(tmp_path, monkeypatch) -> None:
    config = DesignConfig(env=EnvSpec(name="theirs:Env-v0"))
    with monkeypatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path / "their-home"))
        folder = RunFolder.create(tmp_path / "runs", config.model_dump(mode="json"), env="theirs")
    folder.candidate("r1s0").write_reward(PLACE)
    with pytest.raises(UsageError, match="inspect would use the code of the environment 'theirs:Env-v0'"):
        inspect_reward(f"{folder.id}:r1s0", runs=tmp_path / "runs", out=tmp_path / "a.html")


# --- the verb


def command(*arguments: str):
    return CliRunner().invoke(app, ["inspect", *arguments])


@pytest.mark.slow
def test_the_verb_sums_up_and_says_where_the_page_is(files, tmp_path) -> None:
    out = tmp_path / "page.html"
    given = ("--env", ENV, "--against", "human", "--no-films", "--out", str(out))
    result = command(str(files["place"]), *given)
    assert result.exit_code == 0, result.output
    for words in ("place.py", "bonus", "fires in", "From human", "STARC", f"Page: {out}"):
        assert words in result.stdout, words
    told = json.loads(command(str(files["place"]), *given, "--json").stdout.splitlines()[-1])
    assert told["path"] == str(out) and told["components"][0]["name"] == TOTAL
    assert told["against"]["distances"]["starc"]["matrix"][0][1] > 0
    assert out.exists()


def test_the_page_is_html(files) -> None:
    result = command(str(files["place"]), "--env", ENV, "--out", "page.png")
    assert isinstance(result.exception, UsageError) and "page.html" in result.exception.hint


def test_a_refused_reward_has_the_exit_code_of_one(tmp_path) -> None:
    (tmp_path / "bad.py").write_text("import os\n")
    result = command(str(tmp_path / "bad.py"), "--env", ENV)
    assert isinstance(result.exception, NothingAcceptable)
    assert result.exception.exit_code == EXIT_NOTHING_ACCEPTABLE and result.exception.hint


@pytest.mark.parametrize(
    ("given", "names"), [(None, []), ("a,b", ["a", "b"]), ("a[0,1],b", ["a[0,1]", "b"]), ("a", ["a"]), ("", [""])]
)
def test_names_of_features(given, names) -> None:
    assert _names(given) == names


# --- in a browser


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_dragging_scrubs_and_choices_redraw(run, tmp_path) -> None:
    out = tmp_path / "page.html"
    inspect_reward("latest", against="latest:r1s1", runs=run.parent, out=out)
    with Browser() as browser:
        page = browser.page(Path(out).as_uri(), prefers_reduced_motion="reduce")
        page.wait("document.querySelector('video').readyState >= 2")
        told = lambda: page.text(".when")
        assert "nothing is paid yet" in told()
        page.drag(".track .plot", ".track.time .plot span.num")  # from the middle of the first chart to the end
        steps = data_of(out.read_text())["episodes"][0]["steps"]
        page.wait("document.querySelector('video').currentTime > 1 && !document.querySelector('video').seeking")
        reached = int(told().split("step ")[1])
        assert steps * 0.8 < reached <= steps
        shown = page.run(
            f"document.querySelector('video').currentTime * {data_of(out.read_text())['episodes'][0]['fps']}"
        )
        assert abs(shown - reached) <= 1  # of a world whose steps are all drawn
        values = unpacked(data_of(out.read_text())["episodes"][0]["now"][0])
        assert float(page.text(".val").replace("\u2212", "-")) == pytest.approx(float(values[reached - 1]), rel=5e-3)
        page.key("ArrowLeft")
        assert told().endswith(f"step {reached - 1}")
        page.click(".tabs button:nth-child(2)")
        assert page.run("[...document.querySelectorAll('article')].map((a) => a.hidden)") == [True, False, True]
        before = page.run("document.querySelector('.field canvas').toDataURL()")
        for box, value in (("#quantity", 1), ("#up", 0), ("#mode", 2)):
            page.run(f"document.querySelector('{box}').value = {value}")
            page.run(f"document.querySelector('{box}').dispatchEvent(new Event('change'))")
            after = page.run("document.querySelector('.field canvas').toDataURL()")
            assert after != before
            before = after
        assert page.run("document.querySelector('#up').value !== document.querySelector('#across').value")
        page.size(400, 800)
        assert page.run("document.documentElement.scrollWidth") <= 400
        assert page.faults() == []
