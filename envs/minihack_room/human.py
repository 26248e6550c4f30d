# Source: MiniHack 1.0.2 Room-Random-5x5, https://minihack.readthedocs.io/en/latest/envs/navigation/room.html
def compute_reward(obs, action, next_obs, *, win_reward=1.0, idle_cost=0.01):
    """The published reward: 1 for reaching the stairs, minus 0.01 for a step in which no time passes."""
    reached = win_reward * next_obs["reached_stairs"].double()
    idle = -idle_cost * ((next_obs["turn"] == obs["turn"]) & ~next_obs["died"]).double()
    return reached + idle, {"reached": reached, "idle": idle}
