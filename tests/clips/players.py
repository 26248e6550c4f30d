"""Policies, rewards and films to test clips with."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rewardsmith.analyze.video import ffmpeg_path
from rewardsmith.envs import Environment
from rewardsmith.train.policy import Policy, PolicyInfo
from tests.helpers.tiny_world import Output


def policy_for(environment: Environment, seed: int = 0, *, memory: str = "") -> Policy:
    """A network with random weights; with `memory` it sees one number of a reward's memory."""
    world, action = environment.make_world(1), environment.interface.action
    inputs = world.obs_dim + bool(memory)
    world.close()
    outputs = {"continuous": math.prod(action.shape), "discrete": action.n or 0}[action.kind]
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=rng)
    info = PolicyInfo(
        env=environment.spec, action=action, obs_dim=inputs - bool(memory), memory_width=int(bool(memory)),
        hidden=(16,), rescale_actions=True, memory_graph=memory,
    )  # fmt: skip
    weights = ((draw(inputs, 16), draw(1, 16)), (draw(16, outputs), draw(1, outputs)))
    zeros = torch.zeros(inputs, dtype=torch.float64)
    return Policy(info, weights, zeros, torch.ones_like(zeros))


class Effort:
    """Costs the square of the action, and pays for ending."""

    uses_memory, has_potential = False, False

    def __call__(self, obs: Any, action: Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        components = {
            "effort": -action.float().reshape(len(action), -1).square().sum(1),
            "ended": 50.0 * next_obs["terminated"].float(),
        }
        return Output(components["effort"] + components["ended"], components, None)

    def potential(self, obs: Any) -> Tensor:
        raise AssertionError

    def initial_memory(self, n: int, device: Any) -> dict[str, Tensor]:
        return {}


def decoded(film: bytes, folder: Path) -> tuple[float, np.ndarray]:
    """Frames per second, and the frames (F, H, W, 3) uint8."""
    path = folder / "film.mp4"
    path.write_bytes(film)
    command = [ffmpeg_path(), "-hide_banner", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True)
    said = done.stderr.decode()
    assert done.returncode == 0 and "h264" in said and "yuv420p" in said, said
    (width, height), fps = re.findall(r" (\d{2,})x(\d{2,})", said)[0], re.findall(r"([\d.]+) fps", said)[0]
    return float(fps), np.frombuffer(done.stdout, np.uint8).reshape(-1, int(height), int(width), 3)
