"""Humanoid-v5 as batched functions: start states, observation, termination and the published reward."""

from rewardsmith.envs.floating import HUMANOID_FIELDS, HUMANOID_HIDDEN, humanoid_observation, squared

# The velocity is that of the centre of mass, which belongs to the state before the last substep, as in Gymnasium.
FIELDS = (*HUMANOID_FIELDS, "subtree_com:torso", "before:subtree_com:torso")
HIDDEN = HUMANOID_HIDDEN
RESET_NOISE = 1e-2

observation = humanoid_observation


def noise(rng):
    return rng.uniform(-RESET_NOISE, RESET_NOISE, 47)


def start(noise, qpos0, qvel0):
    return qpos0 + noise[:, :24], qvel0 + noise[:, 24:]


def terminated(fields):
    height = fields["qpos"][:, 2]
    return ~((height > 1.0) & (height < 2.0))


def native_reward(fields, action, dt):
    speed = (fields["subtree_com:torso"] - fields["before:subtree_com:torso"])[:, 0] / dt
    healthy = 5.0 * (~terminated(fields)).double()
    contact = (5e-7 * squared(fields["cfrc_ext"])).clamp(max=10.0)
    return 1.25 * speed + healthy - 0.1 * action.double().square().sum(1) - contact
