# Success of the task balance, per step: 1 on the last of 1000 steps, if it is reached and survived.
import torch


def initial_memory(n):
    return {"steps": torch.zeros(n)}


def compute_reward(obs, action, next_obs, memory):
    """One for lasting to the end of the episode, zero elsewhere."""
    steps = memory["steps"] + 1.0
    lasted = ((steps == 1000.0) & ~next_obs["terminated"]).float()
    return lasted, {"lasted": lasted}, {"steps": steps}
