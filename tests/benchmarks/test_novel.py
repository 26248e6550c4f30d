"""The novel suite: what its hidden metrics find, that they stay hidden, and how finished runs are measured by them."""

from __future__ import annotations

import math
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rewardsmith import design_reward
from rewardsmith.bank import record_bank
from rewardsmith.bank.simple import simple_policies
from rewardsmith.config import ModelConfig
from rewardsmith.envs import Metric, PackMetric, resolve_env
from rewardsmith.llm.cassette import Take
from rewardsmith.llm.messages import Completion
from rewardsmith.loop import parts
from rewardsmith.train import evaluate, load_metric
from rewardsmith.types import EnvSpec, Goal
from tests.loop.conftest import EngineHere
from tests.loop.runs import HEIGHT, SPEED, tiny_config

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import novel
from novel_suite.agreement import (
    Agreement,
    Episode,
    agreement,
    measure,
    of_bank,
    of_trajectory,
    policies_of,
    success_interval,
    varied_episodes,
)
from novel_suite.suite import BEHAVIOURS, METRICS, named

ROOT = Path(__file__).parents[2]
NAMES = [behaviour.name for behaviour in BEHAVIOURS]
States = dict[str, Tensor]  # features by name, each (L + 1, ...): before every step, and the final ones


def hidden(name: str) -> Metric:
    behaviour = named(name)
    return load_metric(resolve_env(behaviour.env), Goal(kind="metric_file", path=str(behaviour.metric_path)))


def episode_of(states: States, *, fell: bool = False) -> Episode:
    length = len(next(iter(states.values()))) - 1
    terminated = torch.zeros(length, dtype=torch.bool)
    terminated[-1] = fell
    before, after = ({k: v[rows] for k, v in states.items()} for rows in (slice(None, -1), slice(1, None)))
    return Episode(before, after, torch.zeros(length, 1), terminated)


def succeeds(name: str, states: States, *, fell: bool = False) -> bool:
    (success,) = measure(hidden(name), [episode_of(states, fell=fell)])[1]
    assert success in (0.0, 1.0)
    return bool(success)


# --- the suite -----------------------------------------------------------------------------------------------------


def test_every_behaviour_has_a_metric_of_its_own_and_words_that_no_pack_has() -> None:
    assert len(BEHAVIOURS) == 12 == len(set(NAMES)) == len({behaviour.words for behaviour in BEHAVIOURS})
    assert sorted(path.stem for path in METRICS.glob("*.py")) == sorted(NAMES)
    for behaviour in BEHAVIOURS:
        tasks = resolve_env(behaviour.env).tasks
        assert behaviour.words not in [task.instruction for task in tasks.values()]
        assert hidden(behaviour.name).about.startswith("Success: ")


# --- what the metrics find -----------------------------------------------------------------------------------------


def time(steps: int) -> Tensor:
    """From 0 at the start to 1 at the end, (steps + 1,)."""
    return torch.linspace(0, 1, steps + 1, dtype=torch.float64)


def constant(steps: int, value: float) -> Tensor:
    return torch.full((steps + 1,), value, dtype=torch.float64)


def stopped(values: Tensor, share: float, then: float) -> Tensor:
    """`values`, but `then` after a share of the episode."""
    return torch.where(time(len(values) - 1) <= share, values, then)


def spin(speed: float = 5.0, share: float = 1.0, then: float = 0.0) -> States:
    return {"angular_velocity": stopped(constant(200, speed) + torch.sin(40 * time(200)), share, then)}


def lean(degrees: float = 15.0, speed: float = 0.0, share: float = 1.0) -> States:
    angle = math.pi - math.radians(abs(degrees))
    held = constant(200, math.copysign(angle, degrees))
    return {"angle": stopped(held, share, math.pi), "angular_velocity": constant(200, speed)}


def shuttle(reach: float = 0.6, periods: float = 2.3, middle: float = 0.0, steps: int = 500) -> States:
    return {"cart_position": middle + reach * torch.sin(2 * math.pi * periods * time(steps))}


def hold(place: float = -0.35, sway: float = 0.0, share: float = 1.0, steps: int = 200) -> States:
    swing = 60 * time(steps)
    position = stopped(place + sway * torch.sin(swing), share, -0.5)
    return {"position": position, "velocity": sway * torch.cos(swing) * 60 / steps}


def circle(radius: float = 0.1, turns: float = 2.5, x: float = 0.0) -> States:
    angle = 2 * math.pi * turns * time(50)
    return {"fingertip": torch.stack([x + radius * torch.cos(angle), radius * torch.sin(angle)], 1)}


def hover(height: float = 5.0, aside: float = 0.0, tilt: float = 0.0, steps: int = 1000, touch: bool = False) -> States:
    contact = torch.zeros(steps + 1, 2, dtype=torch.bool)
    contact[steps // 2] = touch
    return {
        "position": torch.stack([constant(steps, aside), constant(steps, height)], 1),
        "angle": constant(steps, tilt),
        "leg_contact": contact,
        "crashed": torch.zeros(steps + 1, dtype=torch.bool),
    }


def hops(count: int = 8, lift: float = 0.15, travel: float = 0.0, steps: int = 1000) -> States:
    return {
        "foot_height": (lift * torch.sin(2 * math.pi * count * time(steps))).clamp(min=0),
        "torso_x": travel * time(steps),
    }


def crouch(height: float = 0.85, travel: float = 0.0, steps: int = 1000, share: float = 1.0) -> States:
    return {"torso_height": stopped(constant(steps, height), share, 1.25), "torso_x": travel * time(steps)}


def turned(turns: float, extra: float = 0.0) -> States:
    return {"torso_pitch": -2 * math.pi * turns * time(1000) + extra * torch.sin(math.pi * time(1000))}


def lie(pitch: float = math.pi, slide: float = 0.0, spinning: float = 0.0, share: float = 1.0) -> States:
    return {
        "torso_pitch": stopped(constant(1000, pitch), share, 0.0),
        "forward_velocity": constant(1000, slide),
        "torso_pitch_velocity": constant(1000, spinning),
    }


def stand(right: float = 0.0, left: float = 0.2, travel: float = 0.0, steps: int = 1000, share: float = 1.0) -> States:
    heights = torch.stack([constant(steps, right), stopped(constant(steps, left), share, 0.0)], 1)
    return {"foot_heights": heights, "torso_x": travel * time(steps)}


def turn(turns: float = 2.5, radius: float = 0.3, upright: float = 0.95, steps: int = 1000) -> States:
    angle = 2 * math.pi * turns * time(steps)
    heading = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    return {"heading": heading, "position": radius * heading, "upright": constant(steps, upright)}


SHOWN: list[tuple[str, States]] = [
    ("pendulum_spin", spin()),
    ("pendulum_lean", lean()),
    ("pendulum_lean", lean(-15)),
    ("cartpole_shuttle", shuttle()),
    ("mountain_car_hold", hold()),
    ("reacher_circle", circle()),
    ("lunar_lander_hover", hover()),
    ("hopper_hop_in_place", hops()),
    ("hopper_crouch", crouch()),
    ("half_cheetah_backflip", turned(3.2)),
    ("half_cheetah_on_back", lie()),
    ("half_cheetah_on_back", lie(-math.pi)),
    ("half_cheetah_on_back", lie(3 * math.pi)),
    ("walker2d_one_leg", stand()),
    ("ant_turn", turn()),
]
MISSED: list[tuple[str, str, States]] = [
    ("pendulum_spin", "clockwise", spin(-5)),
    ("pendulum_spin", "as fast as it can", spin(7.9)),
    ("pendulum_spin", "stops early", spin(share=0.4)),
    ("pendulum_spin", "turns back at the end", spin(share=0.9, then=-5)),
    ("pendulum_lean", "hangs", lean(0)),
    ("pendulum_lean", "too far out", lean(30)),
    ("pendulum_lean", "passes by", lean(speed=2)),
    ("pendulum_lean", "lets go", lean(share=0.9)),
    ("cartpole_shuttle", "falls short of the marks", shuttle(0.3)),
    ("cartpole_shuttle", "goes far past the marks", shuttle(1.5)),
    ("cartpole_shuttle", "only once", shuttle(periods=1)),
    ("cartpole_shuttle", "beside one mark", shuttle(middle=1.0)),
    ("cartpole_shuttle", "falls", shuttle(periods=2.3, steps=480)),
    ("mountain_car_hold", "stays in the valley", hold(-0.52)),
    ("mountain_car_hold", "passes by", hold(sway=0.04)),
    ("mountain_car_hold", "rolls back", hold(share=0.9)),
    ("mountain_car_hold", "ends early", hold(steps=90)),
    ("reacher_circle", "clockwise", circle(turns=-2.5)),
    ("reacher_circle", "too wide", circle(radius=0.18)),
    ("reacher_circle", "one circle", circle(turns=1.2)),
    ("reacher_circle", "beside the shoulder", circle(radius=0.05, x=0.1)),
    ("lunar_lander_hover", "too high", hover(9)),
    ("lunar_lander_hover", "beside the pad", hover(aside=6)),
    ("lunar_lander_hover", "tilted", hover(tilt=0.8)),
    ("lunar_lander_hover", "ends early", hover(steps=900)),
    ("lunar_lander_hover", "touches the ground", hover(touch=True)),
    ("hopper_hop_in_place", "travels", hops(travel=2)),
    ("hopper_hop_in_place", "shuffles", hops(lift=0.03)),
    ("hopper_hop_in_place", "too few", hops(3)),
    ("hopper_hop_in_place", "stands", hops(0)),
    ("hopper_hop_in_place", "falls early", hops(steps=900)),
    ("hopper_crouch", "stands", crouch(1.2)),
    ("hopper_crouch", "travels", crouch(travel=2)),
    ("hopper_crouch", "gets up", crouch(share=0.5)),
    ("hopper_crouch", "falls early", crouch(steps=900)),
    ("half_cheetah_backflip", "forward", turned(-3.2)),
    ("half_cheetah_backflip", "too few", turned(2.5)),
    ("half_cheetah_backflip", "over and back", turned(0, extra=-8 * math.pi)),
    ("half_cheetah_on_back", "on its feet", lie(0)),
    ("half_cheetah_on_back", "on its head", lie(math.pi / 2)),
    ("half_cheetah_on_back", "slides", lie(slide=2)),
    ("half_cheetah_on_back", "spins", lie(spinning=4)),
    ("half_cheetah_on_back", "gets up", lie(share=0.9)),
    ("walker2d_one_leg", "on both legs", stand(left=0)),
    ("walker2d_one_leg", "on the other leg", stand(right=0.2, left=0)),
    ("walker2d_one_leg", "in the air", stand(right=0.2)),
    ("walker2d_one_leg", "puts it down", stand(share=0.5)),
    ("walker2d_one_leg", "travels", stand(travel=2)),
    ("walker2d_one_leg", "falls early", stand(steps=900)),
    ("ant_turn", "to the right", turn(-2.5)),
    ("ant_turn", "too few", turn(1.5)),
    ("ant_turn", "in a wide circle", turn(radius=3)),
    ("ant_turn", "on its side", turn(upright=0)),
    ("ant_turn", "ends early", turn(steps=900)),
]
FALLING = ["cartpole_shuttle", "hopper_hop_in_place", "hopper_crouch", "walker2d_one_leg", "ant_turn"]


@pytest.mark.parametrize(("name", "states"), SHOWN)
def test_the_behaviour_succeeds(name: str, states: States) -> None:
    assert succeeds(name, states)


@pytest.mark.parametrize(("name", "how", "states"), MISSED, ids=[f"{name}-{how}" for name, how, _ in MISSED])
def test_a_near_miss_fails(name: str, how: str, states: States) -> None:
    assert not succeeds(name, states)


@pytest.mark.parametrize("name", FALLING)
def test_falling_in_the_last_step_fails(name: str) -> None:
    states = dict(SHOWN)[name]
    assert succeeds(name, states) and not succeeds(name, states, fell=True)


def test_every_metric_is_shown_a_success_and_misses() -> None:
    assert {name for name, _ in SHOWN} == set(NAMES) == {name for name, _, _ in MISSED}


# --- policies that were not trained --------------------------------------------------------------------------------


@cache
def untrained(env: str) -> tuple[Episode, ...]:
    """Episodes of the random policy, and of one that does nothing or always the same."""
    environment = resolve_env(env)
    metric = environment.native_metric()
    random = record_bank(environment, episodes=8 if env == "ant" else 20, seed=1, metric=metric)
    _, idle = next(iter(simple_policies(environment.interface.action)))
    still = record_bank(
        environment, episodes=1 if env in ("ant", "half_cheetah") else 3, seed=1, policy=idle, metric=metric
    )
    return (*of_bank(random), *of_bank(still))


@pytest.mark.parametrize("name", NAMES)
def test_neither_chance_nor_doing_nothing_succeeds(name: str) -> None:
    fitness, success = measure(hidden(name), untrained(named(name).env))
    assert success.sum() == 0
    assert np.isfinite(fitness).all() and len(set(fitness.tolist())) > 1


# --- policies made by hand: what is asked for can be done ------------------------------------------------------------


def spinning(obs: Tensor) -> Tensor:
    cos, sin, speed = obs.unbind(1)
    energy = speed.square() / 6 + 5 * (cos + 1)  # joules; 10 carry it over the top
    to_top = torch.remainder(-torch.atan2(sin, cos), 2 * math.pi)
    enough = (speed > 0) & (energy + 2 * to_top > 10.4)
    pump = torch.where((speed < 0) & (energy < 8), -2.0, 2.0)
    return torch.where(enough, 6 * (5 - 1.6 * cos - speed), pump).clamp(-2, 2)[:, None]


def leaning(obs: Tensor) -> Tensor:
    cos, sin, speed = obs.unbind(1)
    angle, wanted = torch.atan2(-sin, -cos), math.radians(15)
    return (5 * math.sin(wanted) - 1.5 * speed - 2 * (angle - wanted)).clamp(-2, 2)[:, None]


def shuttling(obs: Tensor) -> Tensor:
    position, cart, angle, turn = obs.unbind(1)
    reach, frequency = 0.55, 2 * math.pi / 4.5
    velocity = cart + 0.66 * turn  # of a point of the pole that a push leaves where it is
    short = 1 - ((velocity / frequency).square() + position.square()) / reach**2
    wanted = -(frequency**2) * position + 2 * short.clamp(-1, 1) * torch.tanh(velocity / 0.05)
    return (12 * (angle - (wanted / 9.8).clamp(-0.14, 0.14)) + 3 * turn > 0).long()


def holding(obs: Tensor) -> Tensor:
    position, velocity = obs.unbind(1)
    return (torch.cos(3 * position) / 0.6 + 8 * (-0.35 - position) - 60 * velocity).clamp(-1, 1)[:, None]


def circling(obs: Tensor) -> Tensor:
    elbow = torch.atan2(obs[:, 3], obs[:, 1])
    shoulder = 0.05 * (25 - obs[:, 6])
    return torch.stack([shoulder, 2 * (2.15 - elbow) - 0.2 * obs[:, 7]], 1).clamp(-1, 1)


def hovering(obs: Tensor) -> Tensor:
    x, y, sideways, up, angle, turn = obs[:, :6].unbind(1)
    tilt = 0.5 * ((0.5 * x + sideways).clamp(-0.3, 0.3) - angle) - turn
    lift = 0.5 * (0.75 - y - up)
    side = torch.where(tilt < -0.05, 3, torch.where(tilt > 0.05, 1, 0))
    return torch.where((lift > tilt.abs()) & (lift > 0.05), 2, side)


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("pendulum_spin", spinning),
        ("pendulum_lean", leaning),
        ("cartpole_shuttle", shuttling),
        ("mountain_car_hold", holding),
        ("reacher_circle", circling),
        ("lunar_lander_hover", hovering),
    ],
)
def test_a_policy_made_by_hand_succeeds(name: str, policy: Callable[[Tensor], Tensor]) -> None:
    environment = resolve_env(named(name).env)
    bank = record_bank(environment, episodes=8, seed=2, policy=policy, metric=hidden(name))
    assert float(bank.success.mean()) >= novel.SOLVED


# --- hidden --------------------------------------------------------------------------------------------------------


def texts(*folders: str) -> Iterator[tuple[Path, str]]:
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".toml", ".j2", ".md", ".json", ".jsonl", ".txt"}:
                yield path, path.read_text(encoding="utf-8")


def test_nothing_that_a_designer_is_made_of_knows_the_suite() -> None:
    secrets = {*NAMES, "novel_suite", *(behaviour.words for behaviour in BEHAVIOURS)}
    for path in METRICS.glob("*.py"):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        secrets |= {line for line in lines if len(line) >= 40 and not line.startswith("def ")}
    assert [(p, s) for p, text in texts("rewardsmith", "envs", "prompts") for s in secrets if s in text] == []


def test_the_package_imports_nothing_of_the_benchmarks() -> None:
    ours = {path.stem for path in (ROOT / "benchmarks").iterdir()} | {"benchmarks"}
    for path, text in texts("rewardsmith", "envs"):
        if path.suffix == ".py":
            assert not ours & set(re.findall(r"^\s*(?:from|import)\s+(\w+)", text, re.MULTILINE)), path


def test_the_wheel_leaves_the_suite_out() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["rewardsmith"] and set(wheel["force-include"]) == {"prompts", "envs"}
    assert set(wheel) == {"packages", "force-include"}


# --- agreement -----------------------------------------------------------------------------------------------------

RIGHT, WRONG = episode_of(hold()), episode_of(hold(-0.52))
HOLD = hidden("mountain_car_hold")


Change = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def judged(change: Change) -> PackMetric:
    """The hidden metric with its (fitness, success) changed."""

    def episode(sums: States, last: States, low: States, high: States, length: Tensor) -> tuple[Tensor, Tensor]:
        return change(*HOLD.episode(sums, last, low, high, length))

    def step(features: States, previous: States, action: Tensor, terminated: Tensor) -> States:
        return HOLD.step(features, previous, action=action, native_reward=action, terminated=terminated)

    return PackMetric(step, episode, "a changed goal")


@pytest.mark.parametrize(
    ("change", "auc"),
    [
        (lambda fitness, success: (fitness, success), 1.0),
        (lambda fitness, success: (-fitness, 1 - success), 0.0),
        (lambda fitness, success: (-fitness, success), 1.0),  # success comes first
        (lambda fitness, success: (fitness, 0 * success), 1.0),  # fitness decides where success does not
        (lambda fitness, success: (0 * fitness, 0 * success), 0.5),  # ties
        (lambda fitness, success: (torch.arange(6.0), 0 * success), 6 / 9),  # worked out by hand
    ],
)
def test_agreement_is_the_chance_that_a_success_outranks_a_failure(change: Change, auc: float) -> None:
    episodes = [WRONG, RIGHT, WRONG, RIGHT, WRONG, RIGHT]
    assert agreement(judged(change), HOLD, episodes) == Agreement(pytest.approx(auc), 3, 6)


@pytest.mark.parametrize(("episodes", "successes"), [([RIGHT, RIGHT], 2), ([WRONG], 0)])
def test_agreement_cannot_be_told_without_both(episodes: list[Episode], successes: int) -> None:
    found = agreement(HOLD, HOLD, episodes)
    assert found == Agreement(None, successes, len(episodes))
    assert str(found).startswith("cannot tell")


def test_success_has_an_interval_even_where_all_succeed() -> None:
    found = success_interval(200, 200)
    assert found.point == found.high == 1.0 and found.low == pytest.approx(200 / (200 + 1.96**2), abs=1e-4)


# --- whole runs ----------------------------------------------------------------------------------------------------

GOAL = (
    "Success: the car ends on the right slope.\nProgress: minus the mean distance from there.\n\n```python\n"
    'def step(obs, action, next_obs):\n    return {"away": (next_obs["position"] + 0.35).abs()}\n\n\n'
    'def episode(total, last, low, high, length):\n    return last["away"] < 0.1, -total["away"] / length\n```\n'
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with one finished run, whose goal and rewards a model wrote for the words of `mountain_car_hold`."""
    folder = tmp_path_factory.mktemp("novel")
    said = [("goal", 0, GOAL), ("round-1/propose", 0, SPEED), ("round-1/propose", 1, HEIGHT)]
    takes = [Take(step=a, sample=b, prompt="", completion=Completion(text=c, model="recorded")) for a, b, c in said]
    cassette = folder / "replies.jsonl"
    cassette.write_text("".join(f"{take.model_dump_json()}\n" for take in takes))
    behaviour, model = named("mountain_car_hold"), ModelConfig(llm=f"replay:{cassette}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "LocalEngine", EngineHere)
        config = tiny_config(env=EnvSpec(name=behaviour.env), words=behaviour.words, model=model)
        design_reward(config, runs=folder)
    yield folder


def test_a_run_is_found_by_its_words_and_measured(runs: Path) -> None:
    (run,) = novel.runs_in(runs)
    (row,) = novel.measure_runs(runs, episodes=30)
    assert (row.behaviour.name, row.kind, row.run) == ("mountain_car_hold", "model", run.id)
    assert row.success.n == 30 and row.success.point == 0 and not row.solved
    assert row.agreement == Agreement(None, 0, 30)
    assert row.env_steps == run.spent.env_steps > 2 * 1024
    figures = novel.figures_of([row])
    assert figures["novel.model.solved"] == 0 and figures["novel.model.measured"] == 1
    assert figures["novel.builtin.solved"] is None and figures["novel.model.mountain_car_hold.auc"] is None
    lines = novel.table([row]).splitlines()
    assert len(lines) == 13 and sum("no finished run" in line for line in lines) == 11


def test_a_run_of_other_words_another_environment_or_another_goal_does_not_count(runs: Path) -> None:
    (run,) = novel.runs_in(runs)
    behaviour = named("mountain_car_hold")
    assert run.task is not None and novel.kind_of(run, behaviour) == "model"
    windy = EnvSpec(name=behaviour.env, kwargs={"goal_velocity": 0.1})
    metric = run.task.goal.model_copy(update={"kind": "metric_file", "path": str(behaviour.metric_path)})
    given = run.model_copy(update={"task": run.task.model_copy(update={"goal": metric})})
    for changed in ({"words": behaviour.words[:-1]}, {"env": windy}, {"model": ModelConfig(llm="builtin")}):
        other = run.model_copy(update={"config": run.config.model_copy(update=changed)})
        assert novel.kind_of(other, behaviour) is None
    assert novel.kind_of(given, behaviour) is None  # a language model that was given the hidden metric
    builtin = run.config.model_copy(update={"model": ModelConfig(llm="builtin")})
    assert novel.kind_of(given.model_copy(update={"config": builtin}), behaviour) == "builtin"


def test_the_newest_finished_run_counts(runs: Path) -> None:
    (run,) = novel.runs_in(runs)
    older, newer, open_ = (run.model_copy(update={"id": id}) for id in ("older", "newer", "open"))
    found = novel.newest([older, newer, open_.model_copy(update={"finished": False})])
    assert {key: run.id for key, run in found.items()} == {("mountain_car_hold", "model"): "newer"}


def test_both_metrics_measure_the_very_episodes_that_were_recorded(runs: Path) -> None:
    (run,) = novel.runs_in(runs)
    policies = list(policies_of(run))
    assert sorted(policy.info.candidate for policy in policies) == sorted(c.id for c in run.candidates)
    environment = resolve_env("mountain_car_continuous")
    for policy in policies:
        (scores,) = evaluate(environment, HOLD, [policy], episodes=3, seed=5, record=True)
        fitness, success = measure(HOLD, [of_trajectory(trajectory) for trajectory in scores.trajectories])
        np.testing.assert_allclose(fitness, scores.fitness, rtol=1e-6)
        assert success.tolist() == scores.success.tolist()


def test_varied_episodes_are_of_simple_policies_and_of_every_policy(runs: Path) -> None:
    (run,) = novel.runs_in(runs)
    environment = resolve_env("mountain_car_continuous")
    found = varied_episodes(environment, HOLD, list(policies_of(run)), episodes=20)
    assert len(found) == 20
    assert len(varied_episodes(environment, HOLD, [], episodes=20)) == 2 + 2 * 3  # random, nothing, to and fro
    starts = {float(episode.before["position"][0]) for episode in found[8:]}
    assert len(starts) == 12  # every one another start: seeds of its own for each policy
