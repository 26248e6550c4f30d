"""What `--dry-run` promises, against what runs spend."""

from __future__ import annotations

import pytest

import rewardsmith
from rewardsmith.bank import record_bank
from rewardsmith.bank.record import most_recorded
from rewardsmith.clips.recording import pace_of
from rewardsmith.envs import resolve_env
from rewardsmith.loop.ahead import steps_ahead, trained_at_most
from rewardsmith.loop.plan import plan_run
from rewardsmith.loop.solving import confirmation_steps
from rewardsmith.train.sb3 import Sb3Config
from tests.loop.runs import ENV, TINY_TRAINING, tiny_config


@pytest.mark.slow
@pytest.mark.usefixtures("one_jail", "training_here")
@pytest.mark.parametrize(
    "changes",
    [
        {"rounds": 2, "final_seeds": 2, "training": TINY_TRAINING | {"eval_episodes": 8}},
        {"candidates": 5, "racing": True, "training": TINY_TRAINING | {"evaluations": 4}},  # finalists get more seeds
        {"training": TINY_TRAINING | {"env_steps": 100}},  # less than one rollout
    ],
)
def test_a_run_spends_no_more_than_was_promised(tmp_path, changes) -> None:
    config = tiny_config(**changes)
    run = rewardsmith.design_reward(config, runs=tmp_path)
    assert run.spent.env_steps <= plan_run(config).env_steps


def test_all_that_is_spent_is_said() -> None:
    plan = plan_run(tiny_config(final_seeds=3))
    told = "2 candidates x 1 seeds x 1,024 + 2 rewards x 3 fresh seeds x 1,024 + "
    assert plan.steps_are.startswith(told + "4,800 to measure policies (8 seeds x 3 times x 1 episodes of 200 steps")
    assert plan.env_steps > 8 * 1024 + 4_800 + 20_000


def test_a_recording_takes_no_more_than_was_promised() -> None:
    """Episodes that end at different times leave the most unfinished."""
    environment = resolve_env("lunar_lander")
    bank = record_bank(environment, transitions=500, seed=0)
    assert 500 <= bank.env_steps <= most_recorded(500, environment.horizon)


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({"candidates": 8, "rounds": 3}, 24),
        ({"candidates": 8, "rounds": 3, "train": 2}, 6),
        ({"candidates": 6, "rounds": 2, "method": "refine"}, 13),  # with the reward that it starts from
        ({"candidates": 8, "rounds": 2, "method": "given", "rewards": {"human": "x", "sparse": "y"}}, 2),
    ],
)
def test_candidates_that_are_trained(changes, trained) -> None:
    assert trained_at_most(tiny_config(**changes)) == trained


def test_wishes_are_measured_on_fresh_seeds() -> None:
    environment = resolve_env(ENV)
    without, wished = (
        steps_ahead(tiny_config(final_seeds=3, wishes=wishes), environment) for wishes in ((), ("slowly",))
    )
    assert wished.recording - without.recording == 2 * 3 * 4 * environment.horizon


def test_clips_for_people_are_counted() -> None:
    environment = resolve_env("half_cheetah")  # 50 s, of which clips show the first seconds
    settings = {"env": {"name": "half_cheetah"}, "candidates": 4, "rounds": 2}
    without, shown = (steps_ahead(tiny_config(feedback=f, **settings), environment) for f in ("proxy", "human"))
    assert shown.recording - without.recording == 8 * 3 * pace_of(environment).steps < 8 * 3 * 1000


def test_confirming_that_it_is_solved_is_counted_after_every_round_but_the_last() -> None:
    environment = resolve_env(ENV)
    settings = {"rounds": 3, "seeds": 2, "finalist_seeds": 4}
    without, stopping = (steps_ahead(tiny_config(stop_when_solved=s, **settings), environment) for s in (False, True))
    again = 2 * confirmation_steps(environment.horizon, 4)
    assert stopping.evaluation - without.evaluation == again == 2 * 103 * environment.horizon
    assert f"{again:,} to confirm that it is solved" in stopping.told and "confirm" not in without.told


@pytest.mark.parametrize(
    ("env", "algo", "settings", "most"),
    [
        (ENV, "ppo", {"env_steps": 100}, 2048),
        (ENV, "sac", {"env_steps": 101, "num_envs": 2}, 102),
        ("lunar_lander", "dqn", {"env_steps": 101}, 104),  # collects four steps at a time
    ],
)
def test_another_trainer_has_its_own_steps(env, algo, settings, most) -> None:
    pytest.importorskip("stable_baselines3")
    config = Sb3Config.for_environment(resolve_env(env), algo, **settings)
    assert config.most_steps == most
    ahead = steps_ahead(tiny_config(trainer="sb3", algo=algo, training=settings), resolve_env(env))
    assert ahead.training == 2 * most
