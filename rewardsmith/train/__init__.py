"""Training: all candidates x seeds at once as one population PPO, sharded over single-threaded worker processes.

`train_population` is the driver, `run_train_job` one shard, `evaluate` the clean evaluator that never sees a reward.
Checkpoints fall on fixed env steps; a killed job that runs again ends bit-equal to an undisturbed one.
"""

from rewardsmith.train.config import PpoConfig, RacingConfig
from rewardsmith.train.evaluate import EpisodeScores, Trajectory, evaluate
from rewardsmith.train.goals import load_metric
from rewardsmith.train.job import TrainJob, member_folder, run_train_job
from rewardsmith.train.policy import Policy, load_policy
from rewardsmith.train.population import read_metrics, train_population

__all__ = [
    "EpisodeScores",
    "Policy",
    "PpoConfig",
    "RacingConfig",
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
