"""Frames to films: H.264 in mp4 through the ffmpeg that comes with imageio-ffmpeg, and strips of stills as PNG."""

from __future__ import annotations

import logging
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rewardsmith.errors import EnvironmentFault

logger = logging.getLogger(__name__)

ENCODE_TIMEOUT_S = 120.0
Frame = np.ndarray  # (H, W, 3) uint8


class VideoError(EnvironmentFault):
    """A film could not be made; training and scores are not affected."""


def encode_mp4(frames: Sequence[Frame], *, fps: float = 25.0, crf: int = 26) -> bytes:
    """Encode frames of equal shape (H, W, 3) uint8 as H.264 (yuv420p, faststart), playable in every browser.

    Odd heights and widths are padded by one pixel, because yuv420p needs even ones. Higher `crf` is smaller and worse.
    Raises: VideoError: no frames, wrong or changing shapes, no ffmpeg, or ffmpeg failed.
    """
    height, width = _checked(frames)
    if not fps > 0:
        raise VideoError(f"a film needs a positive frame rate, not {fps}", hint="pass fps=25 or the environment's own")
    with tempfile.TemporaryDirectory(prefix="rewardsmith-video-") as folder:
        target = Path(folder) / "film.mp4"
        command = [
            ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y",
            "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-",
            "-an", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf),
            "-pix_fmt", "yuv420p", "-threads", "1", "-map_metadata", "-1", "-fflags", "+bitexact",
            "-flags:v", "+bitexact", "-movflags", "+faststart", str(target),
        ]  # fmt: skip
        raw = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
        try:
            done = subprocess.run(
                command,
                input=raw,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=ENCODE_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise VideoError(
                f"ffmpeg needed more than {ENCODE_TIMEOUT_S:.0f} s for {len(frames)} frames of {width}x{height}",
                hint="film fewer or smaller frames",
            ) from None
        except OSError as error:
            raise VideoError(
                f"ffmpeg could not be started: {error}", hint="pip install --force-reinstall imageio-ffmpeg"
            ) from error
        if done.returncode != 0 or not target.is_file():
            reason = done.stderr.decode(errors="replace").strip()[-500:] or f"exit status {done.returncode}"
            raise VideoError(
                f"ffmpeg could not encode {len(frames)} frames of {width}x{height}: {reason}", hint="see above"
            )
        return target.read_bytes()


def ffmpeg_path() -> str:
    """Raises: VideoError: there is no ffmpeg on this machine."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise VideoError(
            f"no ffmpeg was found ({error}), so no film can be made",
            hint="pip install imageio-ffmpeg, or point IMAGEIO_FFMPEG_EXE at an ffmpeg",
        ) from error


def frames_to_strip(frames: Sequence[Frame], *, columns: int = 8, gap: int = 4) -> bytes:
    """Up to `columns` frames, evenly spaced from first to last, side by side with a `gap` in pixels, as PNG.

    Raises: VideoError: no frames, or wrong or changing shapes.
    """
    height, width = _checked(frames)
    count = max(1, min(columns, len(frames)))
    picked = [frames[round(i)] for i in np.linspace(0, len(frames) - 1, count)]
    strip = np.full((height, count * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for index, frame in enumerate(picked):
        strip[:, index * (width + gap) : index * (width + gap) + width] = frame
    return encode_png(strip)


def encode_png(image: Frame) -> bytes:
    """An (H, W, 3) uint8 image as PNG."""
    height, width = _checked([image])
    rows = np.zeros((height, 1 + width * 3), dtype=np.uint8)  # each row starts with filter type 0
    rows[:, 1:] = np.ascontiguousarray(image).reshape(height, width * 3)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _checked(frames: Sequence[Frame]) -> tuple[int, int]:
    """Height and width that all frames share."""
    if len(frames) == 0:
        raise VideoError("a film of no frames cannot be made", hint="record at least one step")
    shape = frames[0].shape
    for number, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != shape or frame.size == 0:
            raise VideoError(
                f"frame {number} is {frame.dtype} {frame.shape}; the film is uint8 (H, W, 3) and began with {shape}",
                hint="render every frame at one size, as RGB bytes",
            )
    return shape[0], shape[1]
