from __future__ import annotations

import pytest

from rewardsmith.config import ModelConfig
from rewardsmith.envs import resolve_env
from rewardsmith.errors import UsageError
from rewardsmith.loop.goal import settle_task
from tests.loop.runs import ENV, tiny_config

WITH_MODEL = {"model": ModelConfig(llm="some-model")}


def settle(**changes: object):
    env = changes.pop("name", ENV)
    config = tiny_config(**changes)
    return settle_task(config, resolve_env(env))


def test_no_words_take_the_packs_own_task() -> None:
    task = settle()
    assert (task.goal.kind, task.goal.task, task.words_given) == ("pack", "reach_flag", False)
    assert task.words == resolve_env(ENV).tasks["reach_flag"].instruction


def test_the_packs_own_words_are_the_packs_task() -> None:
    words = resolve_env(ENV).tasks["reach_flag"].instruction
    assert settle(words=words).goal.kind == "pack"


def test_words_of_ones_own_need_a_goal_that_a_model_writes() -> None:
    assert settle(words="swing without ever reaching the flag", **WITH_MODEL) is None


def test_builtin_cannot_turn_words_into_a_goal_and_says_so() -> None:
    with pytest.raises(UsageError, match="not a language model") as error:
        settle(words="swing gently")
    assert "--metric" in error.value.hint


def test_words_with_a_task_keep_the_tasks_metric() -> None:
    task = settle(words="use as little fuel as possible", task="reach_flag")
    assert (task.goal.kind, task.words) == ("pack", "use as little fuel as possible")


def test_an_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="reach_flag"):
        settle(task="reach_flog")


def test_a_metric_file_wins_over_the_pack(tmp_path) -> None:
    file = tmp_path / "metric.py"
    file.write_text("")
    task = settle(metric=str(file))
    assert (task.goal.kind, task.goal.path) == ("metric_file", str(file))


def test_a_missing_metric_file_is_named() -> None:
    with pytest.raises(UsageError, match="no metric file"):
        settle(metric="nowhere.py")


def test_an_environment_without_a_pack_and_words_is_measured_natively() -> None:
    assert settle(name="CartPole-v1").goal.kind == "native"
