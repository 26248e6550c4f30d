"""The interface that all corpus rewards are written against, and random inputs for it."""

from __future__ import annotations

import math

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
INTERFACES = {
    "continuous": INTERFACE,
    "discrete": RewardInterface(features=INTERFACE.features, action=ActionSpec(kind="discrete", n=4)),
    "multi_discrete": RewardInterface(
        features=INTERFACE.features, action=ActionSpec(kind="multi_discrete", shape=(2,), nvec=(3, 3))
    ),
}

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


def transition(
    n: int, seed: int = 0, kind: str = "continuous"
) -> tuple[dict[str, torch.Tensor], torch.Tensor, dict[str, torch.Tensor]]:
    """Random (obs, action, next_obs) of n rows."""
    g = torch.Generator().manual_seed(seed + 1000)
    after = frame(n, seed + 1) | {"terminated": torch.rand(n, generator=g) > 0.8}
    if kind == "continuous":
        return frame(n, seed), torch.randn(n, 2, generator=g), after
    size = (n,) if kind == "discrete" else (n, 2)
    return frame(n, seed), torch.randint(0, 3, size, generator=g), after


def wild_transition(n: int) -> tuple[dict[str, torch.Tensor], torch.Tensor, dict[str, torch.Tensor]]:
    """The same with NaN, infinities, zeros of both signs and extreme sizes among the floats (continuous actions)."""
    g = torch.Generator().manual_seed(7)
    special = torch.tensor([0.0, -0.0, math.nan, math.inf, -math.inf, 1e38, -1e38, 1e-40, 1.0, -1.0])

    def wild(value: torch.Tensor) -> torch.Tensor:
        if not value.is_floating_point():
            return value
        drawn = special[torch.randint(0, len(special), value.shape, generator=g)]
        return torch.where(torch.rand(value.shape, generator=g) < 0.3, drawn, value)

    obs, action, next_obs = transition(n)
    return {k: wild(v) for k, v in obs.items()}, wild(action), {k: wild(v) for k, v in next_obs.items()}
