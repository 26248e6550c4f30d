"""How far apart two rewards are, without training on them: exact on tables, estimated on recorded transitions.

`tabular.py` is the reference on finite worlds; `sampled.py` does the same on a `Coverage` of a real environment.
"""

from rewardsmith.reward.distances.sampled import Coverage, Distances, Metric, reward_distances

__all__ = ["Coverage", "Distances", "Metric", "reward_distances"]
