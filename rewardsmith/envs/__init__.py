"""Environments: packs, features, worlds and metrics.

`resolve_env` turns a name into an `Environment`; its `make_world` gives a `VecWorld`, the seam that training,
evaluation and recording use. Everything here is trusted code; rewards only ever see the named features.
"""

from rewardsmith.envs.environment import Environment
from rewardsmith.envs.metrics import GoalMetric, Metric, NativeMetric, PackMetric, Unmeasured, score_episodes
from rewardsmith.envs.pack import PackInfo, TaskInfo, TrainingDefaults
from rewardsmith.envs.rendering import can_render
from rewardsmith.envs.resolve import is_installed, list_packs, resolve_env
from rewardsmith.envs.world import VecWorld

__all__ = [
    "Environment",
    "GoalMetric",
    "Metric",
    "NativeMetric",
    "PackInfo",
    "PackMetric",
    "TaskInfo",
    "TrainingDefaults",
    "Unmeasured",
    "VecWorld",
    "can_render",
    "is_installed",
    "list_packs",
    "resolve_env",
    "score_episodes",
]
