"""Whether a reward solves its task: held to the end of training, and confirmed by more episodes than ranked it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rewardsmith.errors import BudgetSpent
from rewardsmith.loop import solving
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.solving import solves
from rewardsmith.store import RunFolder
from rewardsmith.train import EpisodeScores
from rewardsmith.types import CurvePoint, EnvSpec, Goal, MemberResult, Task, TrainingResult
from tests.helpers.results import kept_of
from tests.loop.runs import ENV, tiny_config

HORIZON = 200


def result(*success: float, seeds: int = 1) -> TrainingResult:
    """A training whose evaluations had these successes."""
    points = [
        CurvePoint(env_steps=1000 * (i + 1), fitness=s, success=s, episode_length=9, episodes=16)
        for i, s in enumerate(success)
    ]
    members = [
        MemberResult(
            candidate="a", seed=seed, state="trained", env_steps=3000, wall_s=1, curve=points, kept=kept_of(points)
        )
        for seed in range(seeds)
    ]
    return TrainingResult(candidate="a", members=tuple(members))


@pytest.fixture
def asked(tmp_path, monkeypatch) -> Callable:
    """Asks whether "a" solves its task, where its policies fail so many of the further episodes."""

    def ask(trained: TrainingResult, failures: int = 0, budget: int | None = None) -> tuple[bool, str, Parts, list]:
        measured: list[tuple[int, int]] = []
        left = [failures]

        def evaluate(environment, metric, policies, *, episodes, seed) -> list[EpisodeScores]:
            measured.append((episodes, seed))
            scores = []
            for _ in policies:
                failed = min(left[0], episodes)
                left[0] -= failed
                success = np.array([0.0] * failed + [1.0] * (episodes - failed))
                scores.append(EpisodeScores(fitness=success, success=success, length=np.full(episodes, 5)))
            return scores

        monkeypatch.setattr(solving, "evaluate", evaluate)
        monkeypatch.setattr(solving, "load_policy", lambda path: path)
        config = tiny_config(budget={"env_steps": budget})
        said: list[str] = []
        folder = RunFolder.create(tmp_path, config.model_dump(mode="json"), env=ENV)
        parts = Parts(folder, config, lambda event: said.append(event.text))
        parts.task = Task(env=EnvSpec(name=ENV), words="", goal=Goal(kind="native"))
        answer = solves(parts, "a", trained)
        assert solves(parts, "a", trained) == answer and len(set(said)) == 1, "a record, if there is one, is read"
        return answer, said[0], parts, measured

    return ask


@pytest.mark.parametrize(
    ("failures", "seeds", "answer", "says"),
    [
        (0, 1, True, "solved: a succeeds in 100 of 100 more episodes (1 training seed); no further round"),
        (1, 2, True, "solved: a succeeds in 99 of 100 more episodes (2 training seeds); no further round"),
        (2, 2, False, "only in 98 of 100 more episodes (2 training seeds); the search goes on"),
        (1, 3, True, "in 101 of 102 more episodes (3 training seeds)"),
    ],
)
def test_more_episodes_decide_and_are_paid_for(failures, seeds, answer, says, asked) -> None:
    found, said, parts, measured = asked(result(0, 1, 1, seeds=seeds), failures)
    assert found == answer and says in said
    roots = [seed for _, seed in measured]
    assert len(set(roots)) == len(roots), "never the same episodes again"
    episodes = sum(count for count, _ in measured) * seeds
    assert 100 <= episodes <= 102
    assert parts.journal.get("cost/confirmed.a") == {"env_steps": episodes * 5}


def test_what_was_lost_by_the_end_of_training_is_not_solved(asked) -> None:
    """The closing advice then says that more rounds may mend the reward: both must not contradict each other."""
    found, said, _, measured = asked(result(0, 1, 0))
    assert not found and not measured
    assert said.startswith("a solved the task, but did not hold it: success fell from 1.00 at 2,000 env steps")


def test_without_env_steps_for_it_nothing_is_confirmed(asked) -> None:
    needed = 100 * HORIZON
    assert asked(result(0, 1, 1), budget=needed)[0]
    found, said, parts, measured = asked(result(0, 1, 1), budget=needed - 1)
    assert not found and not measured and f"{needed:,} env steps to confirm it are not left" in said
    with pytest.raises(BudgetSpent):
        parts.budget.require(env_steps=needed)
