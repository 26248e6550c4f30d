"""How long people wait for the films that they compare: `python benchmarks/clips.py`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from figures import Figures, median_ms, options

from rewardsmith.clips import ClipFilms, FilmRequest, contact_sheet, frames, record_clip, save_clip
from rewardsmith.envs import Environment, resolve_env
from rewardsmith.store import RunFolder
from rewardsmith.train.policy import Policy, PolicyInfo

SEED = 1
CANDIDATES = 6
SIZE = 256


def main() -> None:
    args = options(__doc__ or "")
    torch.set_num_threads(1)
    figures = Figures()
    environment = resolve_env("half_cheetah")
    with tempfile.TemporaryDirectory() as runs:
        folder = RunFolder.create(Path(runs), {}, env=environment.name)
        start = time.perf_counter()
        clips = {
            f"r1-{k}": record_clip(environment, random_policy(environment, k), seed=SEED) for k in range(CANDIDATES)
        }
        for candidate, clip in clips.items():
            save_clip(folder.candidate(candidate), clip)
        seconds = time.perf_counter() - start
        figures.add("clips.record_six_s", seconds, "s", f"playing and keeping {CANDIDATES} episodes' first 8 s")
        start = time.perf_counter()
        with ClipFilms(folder, environment.spec, size=SIZE, workers=2) as films:
            films.prepare(FilmRequest(candidate, SEED) for candidate in clips)
            size = sum(films.film(candidate, SEED).stat().st_size for candidate in clips)
            seconds = time.perf_counter() - start
        about = f"drawing and encoding them at {SIZE}x{SIZE}, two processes and their start included"
        figures.add("clips.six_256_s", seconds, "s", about)
        figures.add("clips.film_kb", size / CANDIDATES / 1e3, "kB", "one film")
    repeats = 1 if args.quick else 5
    clip = clips["r1-0"]
    frame_ms = median_ms(lambda: list(frames(environment, clip, size=SIZE)), repeats) / len(clip.shown)
    figures.add("clips.frame_ms", frame_ms, "ms", "drawing one frame in one process")
    panel_ms = median_ms(lambda: list(frames(environment, clip, size=SIZE, overlay=True)), repeats) / len(clip.shown)
    figures.add("clips.frame_with_panel_ms", panel_ms, "ms", "the same with the time written below")
    sheet_ms = median_ms(lambda: contact_sheet(environment, clips), repeats)
    figures.add("clips.sheet_s", sheet_ms / 1e3, "s", f"a contact sheet of {CANDIDATES} rows of 8 frames")
    figures.write(args.json)


def random_policy(environment: Environment, seed: int) -> Policy:
    """A network with random weights: what it does is as much work to draw as anything else."""
    world, action = environment.make_world(1), environment.interface.action
    inputs, outputs = world.obs_dim, action.shape[0]
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=rng)
    info = PolicyInfo(env=environment.spec, action=action, obs_dim=inputs, hidden=(16,), rescale_actions=True)
    weights = ((draw(inputs, 16), draw(1, 16)), (draw(16, outputs), draw(1, outputs)))
    zeros = torch.zeros(inputs, dtype=torch.float64)
    return Policy(info, weights, zeros, torch.ones_like(zeros))


if __name__ == "__main__":
    main()
