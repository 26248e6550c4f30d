"""The interface that all corpus rewards are written against, and random inputs for it."""

from __future__ import annotations

import torch

from rewardsmith.types import ActionSpec, FeatureSpec, RewardInterface

INTERFACE = RewardInterface(
    features=(
        FeatureSpec(name="position", shape=(3,), unit="m"),
        FeatureSpec(name="velocity", shape=(3,), unit="m/s"),
        FeatureSpec(name="height", unit="m"),
        FeatureSpec(name="joints", shape=(2, 4), unit="rad"),
        FeatureSpec(name="room", dtype="int64"),
        FeatureSpec(name="contact", dtype="bool"),
        FeatureSpec(name="message", shape=(24,), dtype="uint8"),
    ),
    action=ActionSpec(kind="continuous", shape=(2,)),
)

_MESSAGES = ("You see a door here.", "The door opens.", "It is dark.", "")


def frame(n: int, seed: int) -> dict[str, torch.Tensor]:
    """Random features of n rows."""
    g = torch.Generator().manual_seed(seed)
    texts = torch.zeros((len(_MESSAGES), 24), dtype=torch.uint8)
    for row, text in enumerate(_MESSAGES):
        texts[row, : len(text)] = torch.tensor(list(text.encode()), dtype=torch.uint8)
    return {
        "position": torch.randn(n, 3, generator=g),
        "velocity": torch.randn(n, 3, generator=g),
        "height": torch.randn(n, generator=g),
        "joints": torch.randn(n, 2, 4, generator=g),
        "room": torch.randint(0, 5, (n,), generator=g),
        "contact": torch.rand(n, generator=g) > 0.5,
        "message": texts[torch.randint(0, len(_MESSAGES), (n,), generator=g)],
    }


def transition(n: int, seed: int = 0) -> tuple[dict[str, torch.Tensor], torch.Tensor, dict[str, torch.Tensor]]:
    """Random (obs, action, next_obs) of n rows."""
    g = torch.Generator().manual_seed(seed + 1000)
    after = frame(n, seed + 1) | {"terminated": torch.rand(n, generator=g) > 0.8}
    return frame(n, seed), torch.randn(n, 2, generator=g), after
