# Success of the task walk, per step: 1 on the step that reaches the end of the course.
def compute_reward(obs, action, next_obs):
    """One for finishing the course, zero elsewhere."""
    finished = (next_obs["finished"] & ~next_obs["fallen"]).float()
    return finished, {"finished": finished}
