"""What components amount to, on numbers known beforehand; and what episodes are paid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardsmith.clips import record_clip
from rewardsmith.envs import resolve_env
from rewardsmith.errors import EnvironmentFault, NothingAcceptable
from rewardsmith.loop.inspecting import episodes
from rewardsmith.loop.inspecting.episodes import SHAPING, TOTAL, pay_clip, play, random_policy, transitions_of
from rewardsmith.loop.inspecting.measures import correlation, shares, unexplained
from tests.clips.players import policy_for
from tests.loop.inspecting.conftest import FURTHEST, PLACE
from tests.loop.runs import ENV


def paid(**values: list[float]) -> dict[str, np.ndarray]:
    return {name.replace("_", " "): np.array(value, np.float32) for name, value in values.items()}


def test_shares_of_components() -> None:
    first = paid(the_total=[4.0, -3.0], a=[1.0, 0.0], b=[3.0, -3.0])
    second = paid(the_total=[0.0], a=[0.0], b=[np.nan])
    total, b, a = shares([first, second])
    assert (total.name, total.share, total.mean, total.low, total.high) == (
        TOTAL,
        None,
        pytest.approx(1 / 3),
        -3.0,
        4.0,
    )
    assert (a.name, a.share, a.fires, a.broken) == ("a", 1 / 7, 1 / 3, 0)
    assert (b.name, b.share, b.mean, b.low, b.high, b.broken) == ("b", 6 / 7, 0.0, -3.0, 3.0, 1)


def test_a_reward_that_pays_nothing_has_no_shares_and_one_without_components_only_a_total() -> None:
    assert [s.share for s in shares([paid(the_total=[0.0, 0.0], a=[0.0, 0.0])])] == [None, 0.0]
    assert [s.name for s in shares([paid(the_total=[1.0], potential_shaping=[2.0])])] == [TOTAL, SHAPING]
    assert shares([paid(the_total=[np.nan])])[0].broken == 1


def test_components_that_miss_the_total() -> None:
    assert unexplained([paid(the_total=[4.0, 2.0], a=[3.0, 1.0], b=[1.0, 1.0])]) == 0
    assert unexplained([paid(the_total=[4.0, 2.0], a=[3.0, 2.0])]) == 0.25
    assert unexplained([paid(the_total=[0.0])]) == 0


def test_agreement_of_steps() -> None:
    rising = np.arange(4, dtype=np.float32)
    assert correlation(rising, 2 * rising + 1) == pytest.approx(1)
    assert correlation(rising, -rising) == pytest.approx(-1)
    assert correlation(rising, np.ones(4, np.float32)) is None
    assert correlation(rising, np.array([0, np.nan, 2, 3], np.float32)) == pytest.approx(1)


# --- episodes


def test_steps_are_paid_what_the_program_says(compiled) -> None:
    environment, program = resolve_env(ENV), compiled(PLACE)
    clip = record_clip(environment, policy_for(environment), seed=3)
    found = pay_clip(program, clip, gamma=0.99)
    rows = transitions_of(clip)
    out = program(rows.obs, rows.action, rows.next_obs)
    assert found[TOTAL].shape == (clip.steps,) and set(found) == {TOTAL, "place", "bonus"}
    np.testing.assert_allclose(found[TOTAL], out.total.numpy(), rtol=1e-6)
    np.testing.assert_allclose(found["place"], out.components["place"].numpy(), rtol=1e-6)


def test_memory_is_carried_through_an_episode_and_shaping_is_apart(compiled) -> None:
    environment, program = resolve_env(ENV), compiled(FURTHEST)
    clip = record_clip(environment, random_policy(environment.interface.action), seed=0)
    found = pay_clip(program, clip, gamma=0.9)
    position = clip.features["position"].astype(np.float64)
    furthest = np.maximum.accumulate(np.concatenate([[-2.0], position[1:]]))
    np.testing.assert_allclose(found["gain"], np.diff(furthest), atol=1e-5)
    there = 0.5 * 0.9 * position[1:]
    there[-1] *= clip.ended != "terminated"
    np.testing.assert_allclose(found[SHAPING], there - 0.5 * position[:-1], atol=1e-6)


def test_the_last_step_of_an_episode_that_terminated_says_so() -> None:
    environment = resolve_env("cartpole")
    clip = record_clip(environment, random_policy(environment.interface.action), seed=0)
    ended = transitions_of(clip).next_obs["terminated"]
    assert clip.ended == "terminated" and ended.tolist() == [False] * (clip.steps - 1) + [True]


def test_without_a_policy_random_and_simple_ones_play() -> None:
    environment = resolve_env(ENV)
    titles = [episode.title for episode in play(environment, None, seconds=20, films=False)]
    assert titles == ["random actions", "no action", "to and fro"]
    first, second = (random_policy(environment.interface.action)(torch.zeros(3, 2)) for _ in range(2))
    assert first.shape == (3, 1) and torch.equal(first, second)


def test_an_environment_that_cannot_be_drawn_is_shown_in_numbers(monkeypatch) -> None:
    def film(*_: object, **__: object) -> bytes:
        raise EnvironmentFault("nothing draws here", hint="install something")

    monkeypatch.setattr(episodes, "film", film)
    played = list(play(resolve_env(ENV), None, seconds=20))
    assert [(e.film, e.why, e.clip.steps > 0) for e in played] == [(None, "nothing draws here", True)] * 3


def test_a_policy_plays_from_several_seeds(tmp_path) -> None:
    environment, path = resolve_env(ENV), tmp_path / "policy.safetensors"
    policy_for(environment).save(path)
    played = list(play(environment, path, seconds=20, films=False))
    assert [episode.clip.seed for episode in played] == [0, 1, 2]
    assert "trained policy" in played[0].title


def test_a_reward_that_fails_on_an_episode_is_to_blame(compiled) -> None:
    environment = resolve_env(ENV)
    clip = record_clip(environment, random_policy(environment.interface.action), seed=0)
    program = compiled(PLACE)
    program.over_rollout = lambda *_: 1 / 0  # type: ignore[method-assign]
    with pytest.raises(NothingAcceptable, match="fails on a recorded episode: division by zero"):
        pay_clip(program, clip, gamma=0.99)
