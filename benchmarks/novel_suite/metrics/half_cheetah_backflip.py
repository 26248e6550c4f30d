"""Success: three whole turns of the torso, nose up and over, within the 50 s. Fitness: such turns."""

import math

TURNS = 3.0


def step(features, previous):
    return {"turns": -features["torso_pitch"] / (2 * math.pi)}  # pitch is positive nose down and not wrapped


def episode(sums, last):
    return last["turns"], last["turns"] >= TURNS
