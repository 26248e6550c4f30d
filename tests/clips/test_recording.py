"""What a clip keeps of an episode."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardsmith.clips import load_clip, record_clip, save_clip
from rewardsmith.clips.recording import UNTIMED_FRAMES, pace_of
from rewardsmith.envs import resolve_env
from rewardsmith.errors import EnvironmentFault, RunError, UsageError
from rewardsmith.store import RunFolder
from rewardsmith.train import evaluate
from rewardsmith.train.seeding import evaluation_seeds
from tests.clips.players import Effort, policy_for
from tests.helpers.tiny_world import HORIZON, GoNear, PointEnvironment, Poisoned, Raising, ThereAndBack
from tests.train.test_evaluate import linear_policy


class Paced(PointEnvironment):
    def __init__(self, dt: float | None, horizon: int) -> None:
        super().__init__()
        self.dt, self.horizon = dt, horizon


@pytest.mark.parametrize(
    ("dt", "horizon", "steps", "stride", "fps"),
    [
        (0.05, 1000, 160, 1, 20.0),  # half_cheetah
        (0.008, 1000, 1000, 5, 25.0),  # hopper: the whole episode lasts 8 s
        (0.04, 50, 50, 1, 25.0),  # fetch_reach
        (0.015, 1000, 533, 3, 1 / 0.045),  # humanoid
        (0.5, 1000, 16, 1, 2.0),
        (60.0, 1000, 1000, 5, 12.5),  # steps of a minute
        (None, 200, 200, 1, 12.5),  # mountain_car_continuous
        (None, 100, 100, 1, 6.25),  # minihack_room
        (None, 10, 10, 1, 4.0),
        (None, 5001, 5001, 26, 5001 / 26 / 16),
    ],
)
def test_clips_are_played_in_real_time_or_at_one_speed_for_all(dt, horizon, steps, stride, fps) -> None:
    pace = pace_of(Paced(dt, horizon))
    assert (pace.steps, pace.stride) == (steps, stride) and pace.fps == pytest.approx(fps)
    assert pace.fps <= 25
    if dt is None:
        assert -(-pace.steps // pace.stride) <= UNTIMED_FRAMES


@pytest.mark.parametrize("seconds", [0.0, -1.0, 61.0, float("nan")])
def test_clips_of_no_length_and_endless_ones_are_refused(seconds) -> None:
    with pytest.raises(UsageError, match="up to 60 s"):
        record_clip(PointEnvironment(), linear_policy(1.0), seed=1, seconds=seconds)


def test_seeds_may_come_from_numpy(tmp_path) -> None:
    [seed] = evaluation_seeds(0, 1)
    clip = record_clip(PointEnvironment(), linear_policy(1.0), seed=seed)
    folder = RunFolder.create(tmp_path, {}, env="tiny").candidate("r1-0")
    assert load_clip(save_clip(folder, clip), root=folder.run_root).seed == int(seed)


def test_a_clip_is_the_episode_that_the_evaluator_sees() -> None:
    environment, policy = PointEnvironment(), linear_policy(-1.0)
    [scores] = evaluate(environment, environment.metric(), [policy], episodes=3, seed=3, record=True)
    for played in scores.trajectories:
        clip = record_clip(environment, policy, seed=played.seed)
        assert np.array_equal(clip.action, played.action.numpy())
        assert clip.ended == ("terminated" if played.terminated else "time limit")
        for name, value in played.features.items():
            assert np.array_equal(clip.features[name], value.numpy())
        assert clip.shown.tolist() == list(range(len(played.action) + 1))
        assert np.array_equal(clip.states["state"][:, 0].astype(np.float32), clip.features["position"])
        assert clip.total is None and clip.components == {}


def test_policies_of_one_seed_start_alike_and_part_then() -> None:
    environment = resolve_env("half_cheetah")
    one, other = (record_clip(environment, policy_for(environment, k), seed=9, seconds=1.0) for k in range(2))
    assert one.steps == other.steps == 20 and one.ended == "goes on" and one.fps == 20
    assert np.array_equal(one.states["physics"][0], other.states["physics"][0])
    assert not np.array_equal(one.states["physics"][1], other.states["physics"][1])
    elsewhere = record_clip(environment, policy_for(environment, 0), seed=10, seconds=0.1)
    assert not np.array_equal(elsewhere.states["physics"][0], one.states["physics"][0])


def test_only_states_that_are_drawn_are_kept() -> None:
    """Hopper makes 125 steps a second; the last frame is the last state, whenever that is."""
    environment = resolve_env("hopper")
    clip = record_clip(environment, policy_for(environment, 1), seed=1)
    assert clip.ended == "terminated" and clip.steps % 5 != 0
    assert clip.shown.tolist() == [*range(0, clip.steps, 5), clip.steps]
    assert len(clip.states["physics"]) == len(clip.shown)
    assert all(len(value) == clip.steps + 1 for value in clip.features.values())


def test_rewards_are_kept_by_component() -> None:
    environment = PointEnvironment()
    clip = record_clip(environment, linear_policy(-3.0), seed=1, program=Effort())
    assert clip.ended == "terminated" and clip.total is not None
    effort = -(clip.action[:, 0] ** 2)
    assert clip.components["effort"] == pytest.approx(effort)
    assert clip.components["ended"].tolist() == [0.0] * (clip.steps - 1) + [50.0]
    assert clip.total == pytest.approx(effort + clip.components["ended"])


def test_a_reward_reads_the_features_before_and_after_each_step() -> None:
    class Progress(GoNear):
        def __call__(self, obs, action, next_obs, *, memory=None):
            moved = next_obs["position"] - obs["position"]
            return super().__call__(obs, action, next_obs)._replace(total=moved, components={"moved": moved})

    clip = record_clip(PointEnvironment(), linear_policy(-3.0), seed=1, program=Progress())
    assert clip.components["moved"] == pytest.approx(np.diff(clip.features["position"]))


def test_memory_of_rewards_is_followed_for_the_policy_and_for_what_it_pays() -> None:
    """The policy pushes to the right until the memory has seen it beyond 0.5, then to the left."""
    environment = PointEnvironment()
    policy = policy_for(environment, memory="there and back")
    first, last = torch.zeros(4, 16), torch.zeros(16, 1)
    first[3, 0], last[0, 0] = 1.0, -9.0
    policy = type(policy)(
        policy.info, ((first, torch.zeros(1, 16)), (last, torch.full((1, 1), 3.0))), policy.mean, policy.var
    )
    loaded = []
    load = lambda text: loaded.append(text) or ThereAndBack()
    played = (
        record_clip(environment, policy, seed=seed, program=ThereAndBack(), load_program=load) for seed in range(20)
    )
    clip = next(clip for clip in played if clip.features["position"][0] < 0)
    assert set(loaded) == {"there and back"}
    x, paid = clip.features["position"][1:], clip.components["stage"]
    right = int(np.argmax(x > 0.5))
    left = right + int(np.argmax(x[right:] < -0.5))
    assert 0 < right < left < HORIZON
    assert (clip.action[: right + 1] > 0).all() and (clip.action[right + 1 : left + 1] < 0).all()
    assert {t: value for t, value in enumerate(paid.tolist()) if value} == {right: 1.0, left: 2.0}


def test_rewards_that_are_not_finite_are_kept_and_rewards_that_raise_are_told() -> None:
    environment, policy = PointEnvironment(), linear_policy(-3.0)
    seeds = [record_clip(environment, policy, seed=s) for s in range(4)]
    right = next(clip.seed for clip in seeds if clip.features["position"][-1] > 1)
    clip = record_clip(environment, policy, seed=right, program=Poisoned())
    assert clip.total is not None and np.isnan(clip.total[-1])
    with pytest.raises(RunError, match="the reward fails on a recorded episode: ValueError: this reward is broken"):
        record_clip(environment, policy, seed=1, program=Raising())


def test_faults_name_the_environment() -> None:
    with pytest.raises(EnvironmentFault, match="tiny failed while a clip was recorded: RuntimeError: the wall broke"):
        record_clip(PointEnvironment(fail_beyond=-1.0), linear_policy(1.0), seed=1)
    with pytest.raises(RunError, match="the policy was trained for observations"):
        record_clip(resolve_env("half_cheetah"), linear_policy(1.0), seed=1)


def test_worlds_that_cannot_restore_a_state_keep_none() -> None:
    clip = record_clip(PointEnvironment(can_restore=False), linear_policy(1.0), seed=1)
    assert clip.states == {} and len(clip.shown) == HORIZON + 1
