"""Success: at rest on both legs between the flags. Fitness: the published episode return."""

FLAG = 2.0


def step(features, previous, native_reward):
    between_flags = features["position"][:, 0].abs() < FLAG
    landed = features["at_rest"] & features["leg_contact"].all(1) & between_flags & ~features["crashed"]
    return {"landed": landed, "native_reward": native_reward}


def episode(sums, last):
    return sums["native_reward"], last["landed"]
