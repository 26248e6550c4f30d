"""Films of a run's clips: drawn once, kept, drawn again when the clip has changed."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rewardsmith.analyze.video import VideoError
from rewardsmith.clips import ClipFilms, FilmRequest, films, record_clip, save_clip
from rewardsmith.envs import resolve_env
from rewardsmith.errors import EnvironmentFault, RunError
from rewardsmith.store import RunFolder
from tests.clips import deadly
from tests.clips.players import decoded, policy_for
from tests.helpers.tiny_world import PointEnvironment
from tests.train.test_evaluate import linear_policy

TINY = PointEnvironment()


@pytest.fixture
def run(tmp_path):
    """Two candidates with clips from seeds 1 and 2; the second has one from seed 3, too."""
    folder = RunFolder.create(tmp_path / "runs", {}, env="tiny")
    for number, gain in enumerate((1.0, -1.0)):
        for seed in (1, 2, 3)[: 2 + number]:
            save_clip(folder.candidate(f"r1-{number}"), record_clip(TINY, linear_policy(gain), seed=seed))
    return folder


class Drawn:
    """In place of processes: writes what was ordered, or fails as long as told to."""

    def __init__(self) -> None:
        self.orders, self.at_once, self.most, self.pause_s, self.failing = [], 0, 0, 0.0, False
        self._lock = threading.Lock()

    def draw(self, order, *, timeout_s):
        with self._lock:
            self.orders.append(order)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        time.sleep(self.pause_s)
        with self._lock:
            self.at_once -= 1
        if self.failing:
            raise VideoError("it died")
        with open(order.target, "w") as file:  # noqa: PTH123
            file.write(f"film {len(self.orders)}")

    def close(self):
        pass

    release = close


@pytest.fixture
def drawn(monkeypatch):
    made = Drawn()
    monkeypatch.setattr(films, "Painter", lambda: made)
    return made


def test_a_film_is_drawn_once_and_kept(run, drawn) -> None:
    with ClipFilms(run, TINY.spec) as shown:
        assert (shown.seeds("r1-0"), shown.seeds("r1-1")) == ([1, 2], [1, 2, 3])
        path = shown.film("r1-0", 1)
        assert path.parent == run.root / "cache" / "clips" / "r1-0" and path.suffix == ".mp4"
        assert shown.film("r1-0", 1) == path and path.read_text() == "film 1"
        [order] = drawn.orders
        assert (order.env, order.size, order.overlay) == (TINY.spec, 256, False)
    with ClipFilms(run, TINY.spec) as again:
        assert again.film("r1-0", 1) == path
        others = {again.film("r1-0", 2), again.film("r1-1", 1), again.film("r1-0", 1, overlay=True)}
        assert len(others | {path}) == 4 and drawn.orders[-1].overlay
    with ClipFilms(run, TINY.spec, size=64) as smaller:
        assert smaller.film("r1-0", 1) != path


def test_threads_that_ask_at_the_same_time_wait_for_one_drawing(run, drawn) -> None:
    drawn.pause_s = 0.2
    with ClipFilms(run, TINY.spec, workers=2) as shown, ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(shown.film, candidate, 1) for candidate in ("r1-0", "r1-1") * 4]
        assert len({future.result(30) for future in asked}) == 2
    assert len(drawn.orders) == 2 and drawn.most == 2


def test_films_are_prepared_without_waiting_and_never_more_than_allowed_at_once(run, drawn) -> None:
    drawn.pause_s = 0.1
    with ClipFilms(run, TINY.spec, workers=2) as shown:
        shown.prepare(
            FilmRequest(candidate, seed, o) for candidate in ("r1-0", "r1-1") for seed in (1, 2) for o in (0, 1)
        )
        for candidate in ("r1-0", "r1-1"):
            assert shown.film(candidate, 2, overlay=True).exists()
        for seed in (1, 2):
            shown.film("r1-1", seed)
    assert drawn.most == 2 and len(drawn.orders) == len({order.target for order in drawn.orders})


def test_a_clip_that_changed_is_drawn_again_and_its_old_film_is_gone(run, drawn) -> None:
    with ClipFilms(run, TINY.spec) as shown:
        old, beside = shown.film("r1-0", 1), shown.film("r1-0", 1, overlay=True)
        save_clip(run.candidate("r1-0"), record_clip(TINY, linear_policy(2.0), seed=1))
        new = shown.film("r1-0", 1)
        assert new != old and new.exists() and not old.exists() and beside.exists()
    assert len(drawn.orders) == 3


def test_after_a_failure_the_next_request_tries_again(run, drawn) -> None:
    drawn.failing = True
    with ClipFilms(run, TINY.spec) as shown:
        shown.prepare([FilmRequest("r1-0", 1)])  # nobody hears of it
        for _ in range(2):
            with pytest.raises(VideoError, match="it died"):
                shown.film("r1-0", 1)
        drawn.failing = False
        assert shown.film("r1-0", 1).exists()


def test_what_is_not_there_is_named_and_not_made(run, drawn, tmp_path) -> None:
    with ClipFilms(run, TINY.spec) as shown:
        for name in ("r9-9", "..", "../../etc", ""):
            with pytest.raises(RunError, match=r"unknown candidate .* Known: r1-0, r1-1"):
                shown.film(name, 1)
        with pytest.raises(RunError, match="no such file"):
            shown.film("r1-0", 3)
        assert run.candidate_ids() == ["r1-0", "r1-1"] and not drawn.orders
        (tmp_path / "elsewhere").mkdir()
        run.cache_root.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(RunError, match="leads out of the run"):
            shown.film("r1-0", 1)


def test_after_closing_nothing_is_drawn_and_who_waits_is_told(run, drawn) -> None:
    drawn.pause_s = 0.3
    with ThreadPoolExecutor(3) as threads:
        shown = ClipFilms(run, TINY.spec, workers=1)
        asked = [threads.submit(shown.film, "r1-1", seed) for seed in (1, 2, 3)]
        time.sleep(0.1)
        shown.close()
        ends = [future.exception(10) for future in asked]
    assert len(drawn.orders) == 1
    assert sum(isinstance(end, VideoError) for end in ends) == 2 and ends.count(None) == 1
    with pytest.raises(VideoError, match="no films are drawn any more"):
        shown.film("r1-0", 2)


# --- with processes -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_processes_draw_films(tmp_path) -> None:
    environment = resolve_env("cartpole")
    folder = RunFolder.create(tmp_path / "runs", {}, env="cartpole")
    clip = record_clip(environment, policy_for(environment), seed=1)
    path = save_clip(folder.candidate("r1-0"), clip)
    save_clip(folder.candidate("r1-1"), record_clip(environment, policy_for(environment, 1), seed=1))
    (folder.candidate("r1-2").clip_path(1)).parent.mkdir()
    (folder.candidate("r1-2").clip_path(1)).write_bytes(path.read_bytes()[:-1])
    with ClipFilms(folder, environment.spec, size=64, workers=2) as shown:
        shown.prepare([FilmRequest("r1-0", 1), FilmRequest("r1-1", 1)])
        data = shown.film("r1-0", 1).read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")
        fps, pictures = decoded(data, tmp_path)
        assert fps == 25 and len(pictures) == len(clip.shown) + 25
        assert shown.film("r1-1", 1).read_bytes() != data
        with pytest.raises(RunError, match="not a readable clip"):
            shown.film("r1-2", 1)
    assert not list(folder.cache_root.rglob(".*"))


@pytest.mark.slow
def test_a_process_that_dies_while_it_draws_is_told_and_the_next_request_tries_again(tmp_path) -> None:
    tamed = tmp_path / "tamed"
    environment = resolve_env(f"{deadly.__name__}:Deadly-v0", kwargs={"tamed": str(tamed)})
    folder = RunFolder.create(tmp_path / "runs", {}, env="deadly")
    save_clip(folder.candidate("r1-0"), record_clip(environment, policy_for(environment), seed=1))
    with ClipFilms(folder, environment.spec, size=60, workers=1) as shown:
        with pytest.raises(VideoError, match="was killed by SIGKILL") as caught:
            shown.film("r1-0", 1)
        assert "ask for it again" in caught.value.hint
        tamed.touch()
        assert decoded(shown.film("r1-0", 1).read_bytes(), tmp_path)[1].shape[1:] == (40, 60, 3)


@pytest.mark.slow
def test_a_process_says_why_nothing_can_be_drawn(tmp_path) -> None:
    environment = resolve_env("tests.envs.toys:ToyNoDrawing-v0")
    folder = RunFolder.create(tmp_path / "runs", {}, env="toy")
    save_clip(folder.candidate("r1-0"), record_clip(environment, policy_for(environment), seed=1))
    with (
        ClipFilms(folder, environment.spec) as shown,
        pytest.raises(EnvironmentFault, match="cannot draw pictures") as caught,
    ):
        shown.film("r1-0", 1)
    assert "rgb_array" in caught.value.hint
