"""Films and strips."""

from __future__ import annotations

import io
import json
import subprocess

import numpy as np
import pytest
from PIL import Image

from rewardsmith.analyze import video
from rewardsmith.analyze.video import VideoError, encode_mp4, encode_png, ffmpeg_path, frames_to_strip
from tests.analyze.report_fixtures import moving_square


def probe(data: bytes, tmp_path) -> str:
    path = tmp_path / "film.mp4"
    path.write_bytes(data)
    done = subprocess.run(
        [ffmpeg_path(), "-hide_banner", "-i", str(path), "-f", "null", "-"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_film_plays_everywhere_and_is_small(tmp_path):
    data = encode_mp4(moving_square(50, 96), fps=25)
    about = probe(data, tmp_path)
    assert "h264" in about
    assert "yuv420p" in about
    assert "96x96" in about
    assert data.index(b"moov") < data.index(b"mdat")  # faststart
    assert len(data) < 30_000


def test_a_film_is_the_same_bytes_every_time():
    assert encode_mp4(moving_square(5)) == encode_mp4(moving_square(5))


@pytest.mark.parametrize("shape", [(1, 1), (33, 17), (64, 65)])
def test_odd_sizes_and_single_frames(shape, tmp_path):
    assert "yuv420p" in probe(encode_mp4([np.zeros((*shape, 3), np.uint8)]), tmp_path)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [np.zeros((4, 4), np.uint8)],
        [np.zeros((4, 4, 4), np.uint8)],
        [np.zeros((4, 4, 3), np.float32)],
        [np.zeros((0, 4, 3), np.uint8)],
        [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)],
    ],
)
def test_what_is_no_film_is_refused(frames):
    with pytest.raises(VideoError, match="frame"):
        encode_mp4(frames)
    with pytest.raises(VideoError, match="frame"):
        frames_to_strip(frames)


def test_a_film_needs_a_frame_rate():
    with pytest.raises(VideoError, match="frame rate"):
        encode_mp4(moving_square(2), fps=0)


def test_a_missing_ffmpeg_is_named_with_its_fix(monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/does/not/exist/ffmpeg")
    with pytest.raises(VideoError, match="ffmpeg") as caught:
        encode_mp4(moving_square(2))
    assert "imageio-ffmpeg" in caught.value.hint
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE")

    def missing() -> str:
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", missing)
    with pytest.raises(VideoError, match="no ffmpeg was found"):
        encode_mp4(moving_square(2))


def test_an_ffmpeg_that_fails_or_hangs_is_reported(monkeypatch, tmp_path):
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho out of memory >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(video, "ffmpeg_path", lambda: str(fake))
    with pytest.raises(VideoError, match="out of memory"):
        encode_mp4(moving_square(2))
    fake.write_text("#!/bin/sh\nexec sleep 30\n")
    monkeypatch.setattr(video, "ENCODE_TIMEOUT_S", 0.2)
    with pytest.raises(VideoError, match="more than"):
        encode_mp4(moving_square(2))


def test_a_strip_has_the_first_and_the_last_frame():
    frames = [np.full((6, 5, 3), i, np.uint8) for i in range(10)]
    image = np.asarray(Image.open(io.BytesIO(frames_to_strip(frames, columns=4, gap=1))))
    assert image.shape == (6, 4 * 6 - 1, 3)
    assert image[0, 0, 0] == 0
    assert image[0, -1, 0] == 9
    assert image[0, 5].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("count", "columns", "width"), [(1, 8, 5), (2, 8, 11), (9, 1, 5), (3, 0, 5)])
def test_strips_of_few_frames(count, columns, width):
    frames = [np.zeros((6, 5, 3), np.uint8)] * count
    assert Image.open(io.BytesIO(frames_to_strip(frames, columns=columns, gap=1))).size == (width, 6)


def test_png_is_lossless():
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(image)))), image)


def test_media_survive_json():
    from rewardsmith.analyze.report import Media

    media = Media(kind="png", data=b"\x89PNG\xff\x00")
    assert Media.model_validate_json(media.model_dump_json()) == media
    assert json.loads(media.model_dump_json())["kind"] == "png"
