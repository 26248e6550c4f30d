"""The twelve behaviours: an environment, a person's words, and how many env steps a candidate may train."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

METRICS = Path(__file__).parent / "metrics"


class Behaviour(NamedTuple):
    """One behaviour. The words are all that a designer is told; the metric is never shown to one."""

    name: str
    env: str
    words: str
    env_steps: int  # suggested training of one candidate and seed

    @property
    def metric_path(self) -> Path:
        """The hidden metric, in the form that `--metric` takes."""
        return METRICS / f"{self.name}.py"


BEHAVIOURS = (
    Behaviour(
        "pendulum_spin",
        "pendulum",
        "Keep the pendulum going round and round counter-clockwise at a steady speed of about 5 rad/s.",
        300_000,
    ),
    Behaviour(
        "pendulum_lean",
        "pendulum",
        "Hold the pendulum still, about 15 degrees away from hanging straight down, on whichever side you like.",
        300_000,
    ),
    Behaviour(
        "cartpole_shuttle",
        "cartpole",
        "Keep the pole up while the cart travels gently to and fro, again and again, between a mark half a metre to "
        "the left and a mark half a metre to the right of the middle of the track.",
        400_000,
    ),
    Behaviour(
        "mountain_car_hold",
        "mountain_car_continuous",
        "Drive a little way up the right slope, to about position -0.35, and hold the car still there.",
        300_000,
    ),
    Behaviour(
        "reacher_circle",
        "reacher",
        "Ignore the target. Draw circles counter-clockwise around the shoulder with the fingertip, at about 10 cm from "
        "the shoulder.",
        500_000,
    ),
    Behaviour(
        "lunar_lander_hover",
        "lunar_lander",
        "Hover upright about 5 metres above the landing pad, and stay there without ever landing.",
        600_000,
    ),
    Behaviour(
        "hopper_hop_in_place",
        "hopper",
        "Hop up and down on the spot, again and again, without travelling and without falling.",
        1_000_000,
    ),
    Behaviour(
        "hopper_crouch",
        "hopper",
        "Crouch down low with a bent knee and stay crouched on the spot without falling.",
        600_000,
    ),
    Behaviour(
        "half_cheetah_backflip",
        "half_cheetah",
        "Turn backward somersaults, nose up and over, one after the other.",
        1_000_000,
    ),
    Behaviour(
        "half_cheetah_on_back",
        "half_cheetah",
        "Roll over onto your back and lie there still.",
        600_000,
    ),
    Behaviour(
        "walker2d_one_leg",
        "walker2d",
        "Stand on the right leg with the left foot lifted well off the ground, keeping your balance on the spot.",
        1_500_000,
    ),
    Behaviour(
        "ant_turn",
        "ant",
        "Turn to the left on the spot, round and round, without walking away and without tipping over.",
        1_500_000,
    ),
)


def named(name: str) -> Behaviour:
    """Raises: KeyError: there is no behaviour of that name."""
    return {behaviour.name: behaviour for behaviour in BEHAVIOURS}[name]
