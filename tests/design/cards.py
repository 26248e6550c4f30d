"""A small hand-made environment for the tests of designers: a cart with a sensor, a joint pair and a text."""

from __future__ import annotations

from rewardsmith.design.designer import Assignment, DesignContext, EnvironmentCard
from rewardsmith.types import ActionSpec, EnvSpec, FeatureSpec, Goal, RewardInterface, Task

INTERFACE = RewardInterface(
    features=(
        FeatureSpec(name="position", low=-2.4, high=2.4, unit="m", about="cart along the track, right is positive"),
        FeatureSpec(name="joint_velocity", shape=(2,), unit="rad/s", about="hip, knee"),
        FeatureSpec(name="touching", dtype="bool", about="whether the foot touches | the ground"),
        FeatureSpec(name="message", shape=(8,), dtype="uint8", about="text on the screen"),
    ),
    action=ActionSpec(kind="continuous", shape=(2,), low=(-1.0, -1.0), high=(1.0, 1.0), about="motor forces"),
)
CARD = EnvironmentCard("cart", "A cart with a leg.", INTERFACE, horizon=200, dt=0.05)
TASK = Task(
    env=EnvSpec(name="cart"), words="hop to the right", goal=Goal(kind="pack", task="hop", about="metres travelled")
)
CONTEXT = DesignContext(CARD, TASK)


def new(count: int) -> list[Assignment]:
    """That many rewards that descend from nothing, each from another idea."""
    return [Assignment(sample=i, idea=i) for i in range(count)]
