"""The other trainer: one of Stable-Baselines3's algorithms on the exported wrapper, one process a seed, no racing.

Policies are measured by the same clean evaluator and end as the same `policy.safetensors` as the population's.
Only `learning` and `weights` need Stable-Baselines3 (the extra `sb3`).
"""

from rewardsmith.train.sb3.config import ALGORITHMS, Sb3Config, try_out
from rewardsmith.train.sb3.driver import train_with_sb3

__all__ = ["ALGORITHMS", "Sb3Config", "train_with_sb3", "try_out"]
