"""Training: all candidates x seeds at once as one population PPO, sharded over single-threaded worker processes.

`train_population` is the driver, `run_train_job` one shard, `evaluate` the clean evaluator that never sees a reward.
Checkpoints fall on fixed env steps; a killed job that runs again ends bit-equal to an undisturbed one.
"""

from rewardsmith.train.config import PpoConfig
from rewardsmith.train.evaluate import EpisodeScores, Trajectory, evaluate
from rewardsmith.train.following import Following, read_metrics
from rewardsmith.train.goals import load_metric
from rewardsmith.train.job import TrainJob, member_folder, run_train_job
from rewardsmith.train.policy import Policy, load_policy
from rewardsmith.train.population import train_population
from rewardsmith.train.racing import RacingConfig, Rung

__all__ = [
    "EpisodeScores",
    "Following",
    "Policy",
    "PpoConfig",
    "RacingConfig",
    "Rung",
    "TrainJob",
    "Trajectory",
    "evaluate",
    "load_metric",
    "load_policy",
    "member_folder",
    "read_metrics",
    "run_train_job",
    "train_population",
]
