"""The film of a run's best policy: a whole episode, of which long ones are shown in steps."""

from __future__ import annotations

import numpy as np
import pytest

from rewardsmith.envs import resolve_env
from rewardsmith.loop import evaluation
from rewardsmith.loop.evaluation import film_of
from rewardsmith.train import evaluate
from tests.clips.players import decoded, policy_for


@pytest.mark.parametrize(("most", "frames"), [(250, 201), (60, 51), (64, 51), (66, 51), (67, 68)])
def test_a_film_is_of_the_whole_episode(most, frames, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "FILM_FRAMES", most)
    environment = resolve_env("mountain_car_continuous")
    metric, policy = environment.metric(), policy_for(environment)
    [scores] = evaluate(environment, metric, [policy], episodes=1, seed=0, record=True)
    fps, shown = decoded(film_of(environment, scores.trajectories[0], size=64), tmp_path)
    assert fps == 25 and len(shown) == frames
    world = environment.make_world(1)
    world.reset(np.zeros(1, np.int64), np.array([scores.trajectories[0].seed], np.uint64))
    for action in scores.trajectories[0].action:
        world.step(action[None])
    last = world.render(size=64).astype(int)
    assert np.abs(shown[-1] - last).mean() < np.abs(shown[0] - last).mean()
