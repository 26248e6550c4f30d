"""Frames, films and contact sheets of clips."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from rewardsmith.analyze.video import VideoError
from rewardsmith.clips import contact_sheet, film, frames, record_clip
from rewardsmith.clips.drawing import GAP, LINE, replay
from rewardsmith.clips.panel import Panel
from rewardsmith.envs import rendering, resolve_env
from rewardsmith.errors import EnvironmentFault, RunError
from tests.clips.players import Effort, decoded, policy_for
from tests.envs import toys


@pytest.fixture(scope="module")
def cheetah():
    environment = resolve_env("half_cheetah")
    return environment, record_clip(environment, policy_for(environment), seed=3, seconds=1.0, program=Effort())


@pytest.fixture(scope="module")
def car():
    environment = resolve_env("mountain_car_continuous")
    return environment, record_clip(environment, policy_for(environment), seed=3, program=Effort())


def without_states(clip):
    return dataclasses.replace(clip, states={})


@pytest.mark.parametrize("name", ["half_cheetah", "mountain_car_continuous", "cartpole"])
def test_drawing_recorded_states_shows_what_a_replay_shows(name) -> None:
    environment = resolve_env(name)
    clip = record_clip(environment, policy_for(environment, 1), seed=4, seconds=0.5)
    assert clip.states
    drawn = list(frames(environment, clip, size=64))
    again = list(frames(environment, without_states(clip), size=64))
    assert len(drawn) == len(again) == len(clip.shown)
    assert all(np.array_equal(a, b) for a, b in zip(drawn, again, strict=True))
    assert not np.array_equal(drawn[0], drawn[-1])


def test_worlds_that_cannot_restore_a_state_are_replayed() -> None:
    environment = resolve_env("lunar_lander")
    clip = record_clip(environment, policy_for(environment), seed=4)
    assert not clip.states and clip.fps == 25 and clip.ended == "terminated"
    drawn = list(frames(environment, clip, size=64))
    assert len(drawn) == len(clip.shown) and not np.array_equal(drawn[0], drawn[-1])


def test_where_opengl_does_not_work_films_are_sketches(cheetah, monkeypatch) -> None:
    environment, clip = cheetah
    drawn = next(frames(environment, clip, size=64))
    monkeypatch.setattr(rendering, "gl_backend", lambda: None)
    sketched = next(frames(environment, clip, size=64))
    assert sketched.std() > 5 and not np.array_equal(drawn, sketched)


def test_films_last_as_long_as_what_they_show(cheetah, car, tmp_path) -> None:
    environment, clip = cheetah
    data = film(environment, clip, size=64)
    assert data.index(b"moov") < data.index(b"mdat")  # faststart
    fps, shown = decoded(data, tmp_path)
    assert fps == 20 and shown.shape == (21, 64, 64, 3)  # 1 s, and the state at its end
    environment, clip = car
    fps, shown = decoded(film(environment, clip, size=64), tmp_path)
    assert fps == 12.5 and len(shown) == 201 + 12  # the end of an episode stays for a second
    assert np.abs(shown[200].astype(int) - shown[-1]).mean() < 2


def test_a_panel_below_the_picture_is_asked_for(cheetah) -> None:
    environment, clip = cheetah
    height = Panel(clip).height
    plain, written = (list(frames(environment, clip, size=160, overlay=overlay)) for overlay in (False, True))
    assert {frame.shape for frame in plain} == {(160, 160, 3)} and height % 2 == 0
    assert {frame.shape for frame in written} == {(160 + height, 160, 3)}
    assert all(np.array_equal(a, b[:160]) for a, b in zip(plain, written, strict=True))


def test_contact_sheets_have_a_row_for_each_clip(cheetah) -> None:
    environment, clip = cheetah
    two = contact_sheet(environment, {"r1-0": clip, "r1-1 \x1b]0;\n": without_states(clip)}, columns=3, size=32)
    sheet = np.asarray(Image.open(io.BytesIO(two)))
    height = 32 + 2 * LINE + GAP
    assert sheet.shape == (2 * height, 3 * 32 + 2 * GAP, 3)
    drawn = list(frames(environment, clip, size=32))
    for row in range(2):
        for column, frame in enumerate((0, 10, 20)):
            top, left = row * height + LINE, column * (32 + GAP)
            assert np.array_equal(sheet[top : top + 32, left : left + 32], drawn[frame])
        assert (sheet[row * height : row * height + LINE] < 128).any()  # the label
    assert not np.array_equal(sheet[:LINE], sheet[height : height + LINE])


def test_contact_sheets_of_clips_of_different_length(car) -> None:
    environment, clip = car
    short = dataclasses.replace(
        clip, shown=clip.shown[:2], action=clip.action[:1], states={k: v[:2] for k, v in clip.states.items()}
    )
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet(environment, {"a": clip, "b": short}, size=32))))
    assert sheet.shape[1] == 8 * 32 + 7 * GAP
    assert (sheet[sheet.shape[0] // 2 :, 2 * (32 + GAP) :] == 255).all()
    with pytest.raises(VideoError, match="no clips"):
        contact_sheet(environment, {})


def test_a_replay_is_drawn_after_the_steps_that_are_asked_for(car) -> None:
    import torch

    environment, clip = car
    drawn = list(frames(environment, clip, size=32))
    chosen = [0, 7, 8, 200]
    again = list(replay(environment, clip.seed, torch.from_numpy(clip.action), chosen, size=32))
    assert all(np.array_equal(a, drawn[step]) for a, step in zip(again, chosen, strict=True))


def test_clips_that_do_not_fit_are_refused(cheetah, car) -> None:
    environment, clip = cheetah
    with pytest.raises(RunError, match="recorded in 'half_cheetah', and this is 'mountain_car_continuous'"):
        next(frames(car[0], clip))
    narrow = {**clip.states, "physics": clip.states["physics"][:, :-1]}
    for change in (
        {"states": narrow},
        {"states": {"physics": clip.states["physics"]}},
        {"states": {**clip.states, "obs": clip.states["obs"].astype(np.float64)}},
        {"action": clip.action[:, :-1]},
        {"action": clip.action[:, 0].astype(np.int64)},
    ):
        with pytest.raises(RunError, match="another version"):
            next(frames(environment, dataclasses.replace(clip, **change)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_states_that_are_none_do_not_take_the_process_along(cheetah, value) -> None:
    environment, clip = cheetah
    physics = np.full_like(clip.states["physics"], value)
    assert next(
        frames(environment, dataclasses.replace(clip, states={**clip.states, "physics": physics}), size=32)
    ).size
    environment = resolve_env("CartPole-v1")
    clip = record_clip(environment, policy_for(environment), seed=1)
    broken = dataclasses.replace(
        clip, states={**clip.states, "env.state": np.full_like(clip.states["env.state"], value)}
    )
    with pytest.raises((RunError, EnvironmentFault)):
        next(frames(environment, broken))


def test_what_cannot_be_drawn_says_so() -> None:
    environment = resolve_env(f"{toys.__name__}:ToyNoDrawing-v0")
    clip = record_clip(environment, policy_for(environment), seed=1)
    with pytest.raises(EnvironmentFault, match="it offers ansi"):
        film(environment, clip)


@pytest.mark.minihack
def test_nethack_is_filmed() -> None:
    pytest.importorskip("minihack", reason="minihack is not installed")
    environment = resolve_env("minihack_room")
    clip = record_clip(environment, policy_for(environment), seed=2, program=Effort())
    drawn = list(frames(environment, clip, size=128, overlay=True))
    assert clip.fps == 6.25 and len(drawn) == len(clip.shown) and drawn[0].std() > 5
