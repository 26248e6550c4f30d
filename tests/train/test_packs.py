"""Training on real environments with compiled rewards: the same properties as on the tiny world."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rewardsmith.engine import LocalEngine
from rewardsmith.envs import Environment, resolve_env
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_goal, compile_reward, reward_jail
from rewardsmith.train import PpoConfig, TrainJob, evaluate, load_metric, load_policy, run_train_job, train_population
from rewardsmith.train.ppo import PopulationPPO
from rewardsmith.train.seeding import fresh_root
from rewardsmith.types import EnvSpec, Goal, Member
from tests.train.conftest import files_of

BRIEF = {"env_steps": 384, "num_envs": 2, "rollout_steps": 64, "minibatch_size": 64, "epochs": 2, "evaluations": 3,
         "eval_episodes": 2}  # fmt: skip

STAGES = '''
def initial_memory(n):
    return {"best": torch.full((n,), -1.2)}

def compute_reward(obs, action, next_obs, memory, *, weight=10.0):
    """Pays for every new best position."""
    best = torch.maximum(memory["best"], next_obs["position"])
    progress = weight * (best - memory["best"])
    return progress, {"progress": progress}, {"best": best}
'''

GOAL = """
def step(obs, action, next_obs):
    return {"position": next_obs["position"]}

def episode(total, last, low, high, length):
    return high["position"] > 0.45, high["position"]
"""

UPRIGHT = '''
def compute_reward(obs, action, next_obs):
    """Pays for every step that does not end the episode."""
    up = 1.0 - next_obs["terminated"].float()
    return up, {"up": up}
'''


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    with reward_jail() as warm:
        yield warm


def graph(folder: Path, code: str, environment: Environment, jail: Jail) -> Path:
    compiled = compile_reward(code, environment.interface, jail)
    assert compiled.program is not None, compiled.findings
    path = folder / f"{environment.name}-{abs(hash(code))}.graph.json"
    path.write_text(compiled.program.to_json())
    return path


def goal_of(environment: Environment) -> Goal:
    return Goal(kind="pack", task=environment.default_task or "") if environment.tasks else Goal(kind="native")


@pytest.mark.parametrize("name", ["hopper", "mountain_car_continuous", "lunar_lander", "CartPole-v1"])
def test_company_and_stops_change_nothing(name: str, tmp_path: Path, jail: Jail) -> None:
    environment = resolve_env(name)
    codes = {"h": environment.reference_rewards.get("human", UPRIGHT), "u": UPRIGHT}
    if name == "mountain_car_continuous":
        codes["m"] = STAGES
    paths = {c: str(graph(tmp_path, code, environment, jail)) for c, code in codes.items()}
    members = [Member(c, s) for c in codes for s in (0, 1)]

    def run(out: str, chosen: list[Member], until: int | None = None) -> None:
        job = TrainJob(
            env=EnvSpec(name=name), goal=goal_of(environment), members=tuple(chosen), programs=paths,
            out=str(tmp_path / out), ppo=PpoConfig.for_environment(environment, **BRIEF), until_steps=until,
        )  # fmt: skip
        results = run_train_job(job, environment=environment)
        assert {r.state for r in results} == {"trained"}, results

    run("together", members)
    for until in (128, 256, None):
        run("stopped", members[:3], until)
    run("alone", members[-1:])
    for out, chosen in (("stopped", members[:3]), ("alone", members[-1:])):
        for member in chosen:
            assert files_of(tmp_path / out, *member) == files_of(tmp_path / "together", *member)


def test_the_worker_trains_and_its_policies_can_be_used(tmp_path: Path, jail: Jail) -> None:
    environment = resolve_env("hopper")
    paths = {"h": graph(tmp_path, environment.reference_rewards["human"], environment, jail)}
    ppo = PpoConfig.for_environment(environment, **BRIEF)
    goal = goal_of(environment)
    results = train_population(
        EnvSpec(name="hopper"), goal, paths, seeds=[0, 1], ppo=ppo, engine=LocalEngine(workers=2), out=tmp_path / "run"
    )
    assert [m.state for m in results["h"].members] == ["trained"] * 2, results["h"].members[0].error
    policy = load_policy(tmp_path / "run/candidates/h/seeds/0/policy.safetensors")
    metric, member = load_metric(environment, goal), results["h"].members[0]
    assert member.kept is not None and member.kept.fresh
    for root, fitness in (
        (0, next(point.fitness for point in member.curve if point.env_steps == member.kept.env_steps)),
        (fresh_root(0), member.kept.score[1]),
    ):
        [scores] = evaluate(environment, metric, [policy], episodes=ppo.eval_episodes, seed=root)
        assert scores.fitness.mean() == fitness
    assert set(member.curve[-1].components) >= {"forward", "healthy"}


def test_memory_stepped_in_the_rollout_pays_what_the_whole_rollout_does(tmp_path: Path, jail: Jail) -> None:
    environment = resolve_env("mountain_car_continuous")
    program = compile_reward(STAGES, environment.interface, jail).program
    assert program is not None and program.uses_memory
    ppo = PpoConfig.for_environment(environment, **{**BRIEF, "rollout_steps": 250})
    world = environment.make_world(4)
    trained = PopulationPPO(world, ppo, [Member("m", 0), Member("m", 1)], {"m": program}, root=0)
    trained.restart_episodes()
    with torch.no_grad():
        [paid] = trained._collect() or []
        before, after = trained._recorder.transitions(world)
    assert not isinstance(paid, str)
    done = trained._terminated | trained._truncated
    assert done.any()
    starts = torch.cat([torch.ones(1, 4, dtype=torch.bool), done[:-1]])
    whole = program.over_rollout(
        before, trained.head.applied(trained._raw), {**after, "terminated": trained._terminated}, starts
    )
    torch.testing.assert_close(paid.total.view(250, 4), whole.total)
    assert whole.memory_before is not None
    torch.testing.assert_close(trained._x[:-1, :, -1 + trained._used], whole.memory_before["best"])


def test_a_model_written_goal_measures(tmp_path: Path, jail: Jail) -> None:
    environment = resolve_env("mountain_car_continuous")
    compiled = compile_goal(GOAL, environment.interface, jail)
    assert compiled.program is not None, compiled.findings
    path = tmp_path / "goal.graph.json"
    path.write_text(compiled.program.to_json())
    graph_path = str(graph(tmp_path, UPRIGHT, environment, jail))
    job = TrainJob(
        env=EnvSpec(name="mountain_car_continuous"), goal=Goal(kind="model", code=GOAL, path=str(path)),
        members=(Member("u", 0),), programs={"u": graph_path}, out=str(tmp_path),
        ppo=PpoConfig.for_environment(environment, **BRIEF),
    )  # fmt: skip
    [result] = run_train_job(job)
    assert result.state == "trained", result.error
    assert -1.2 <= result.curve[-1].fitness <= 0.6 and set(dict(result.kept.episodes)) <= {0.0, 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fast", "sb3"])
def test_cartpole_is_learned(preset: str, tmp_path: Path, jail: Jail) -> None:
    environment = resolve_env("CartPole-v1")
    settings = {"preset": preset, "env_steps": 40_000, "evaluations": 4}
    if preset == "fast":
        settings |= {"num_envs": 8, "rollout_steps": 64, "minibatch_size": 128, "learning_rate": 1e-3}
    job = TrainJob(
        env=EnvSpec(name="CartPole-v1"),
        goal=Goal(kind="native"),
        members=(Member("u", 0), Member("u", 1)),
        programs={"u": str(graph(tmp_path, UPRIGHT, environment, jail))},
        out=str(tmp_path),
        ppo=PpoConfig.for_environment(environment, **settings),
    )
    for result in run_train_job(job):
        assert max(point.fitness for point in result.curve) > 450, result.curve


def test_the_tiny_task_is_solved_in_seconds(train) -> None:
    from tests.helpers.tiny_world import GoNear, Shaped

    ppo = PpoConfig(
        env_steps=8000, num_envs=8, rollout_steps=25, minibatch_size=50, hidden=(32,), evaluations=2, learning_rate=3e-3
    )
    for result in train(
        [("near", 0), ("near", 1), ("shaped", 0)], {"near": GoNear(), "shaped": Shaped()}, ppo=ppo
    ).values():
        assert result.curve[-1].success >= 0.9, result.curve
