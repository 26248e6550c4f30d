"""The best policy of a training is the one that is kept, and new episodes say how good it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rewardsmith.train import evaluate, load_policy, member_folder
from rewardsmith.train.evaluate import EpisodeScores
from rewardsmith.train.keeping import keep, measured_again
from rewardsmith.train.seeding import evaluation_seeds, fresh_root
from rewardsmith.types import Kept, Member
from tests.helpers.tiny_world import GoNear, PointEnvironment
from tests.train.conftest import SMALL, files_of


def scores(success: float, fitness: float) -> EpisodeScores:
    return EpisodeScores(np.full(2, fitness), np.full(2, success), np.full(2, 5))


def test_a_policy_replaces_the_kept_one_if_it_is_at_least_as_good() -> None:
    kept = keep(None, scores(0.5, 3.0), 100)
    assert kept == Kept(env_steps=100, episodes=((0.5, 3.0), (0.5, 3.0)))
    for (success, fitness), step in (((0.4, 9.0), 100), ((0.5, 2.9), 100), ((0.5, 3.0), 200), ((0.6, 0.0), 200)):
        assert keep(kept, scores(success, fitness), 200).env_steps == step
    again = measured_again(kept, scores(0.25, 1.0))
    assert again.fresh and again.score == (0.25, 1.0) and again.env_steps == 100


def test_new_episodes_share_no_seed_with_those_that_chose() -> None:
    assert fresh_root(0) != fresh_root(1)
    assert not set(evaluation_seeds(0, 100)) & set(evaluation_seeds(fresh_root(0), 100))


class Away(GoNear):
    """Pays for going away: a policy gets worse the longer it learns."""

    def __init__(self) -> None:
        super().__init__(scale=-1.0)


def test_what_is_kept_is_the_best_evaluation_and_not_the_last(train, tmp_path: Path) -> None:
    ppo = SMALL.model_copy(update={"env_steps": 1200, "evaluations": 6, "checkpoint_steps": 60, "learning_rate": 0.01})
    (result,) = train([("a", 0)], {"a": Away()}, ppo=ppo, out=tmp_path).values()
    best = max(reversed(result.curve), key=lambda point: (point.success, point.fitness))
    assert best != result.curve[-1], "the test needs a training that gets worse"
    assert result.kept.env_steps == best.env_steps and result.kept.fresh
    environment = PointEnvironment()
    policy = load_policy(member_folder(tmp_path, Member("a", 0)) / "policy.safetensors")
    for root, expected in ((0, best.fitness), (fresh_root(0), result.kept.score[1])):
        [measured] = evaluate(environment, environment.metric(), [policy], episodes=ppo.eval_episodes, seed=root)
        assert measured.fitness.mean() == expected
    for until in (180, 600, None):  # stops behind the best evaluation lose it no more than those before
        (parts,) = train([("a", 0)], {"a": Away()}, ppo=ppo, out=tmp_path / "parts", until_steps=until).values()
    assert parts.kept == result.kept
    assert files_of(tmp_path / "parts", "a", 0) == files_of(tmp_path, "a", 0)
