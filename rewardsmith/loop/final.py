"""After the search: the winner against the sparse reference on seeds that selection never saw, and its video."""

from __future__ import annotations

from rewardsmith.config import FRESH_SEED
from rewardsmith.errors import EnvironmentFault
from rewardsmith.loop.evaluation import film_of, record_best, winner_policies
from rewardsmith.loop.events import RoundStarted
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.summary import FILM, SPARSE, START, located_goal
from rewardsmith.loop.wishes import measure_final_wishes
from rewardsmith.reward.compile import compile_reward
from rewardsmith.store.atomic import write_bytes
from rewardsmith.train import load_policy


def retrain_winner(parts: Parts, winner: str) -> None:
    """Train the winner and what it is compared with side by side, without racing and without warm starts."""
    count = parts.config.final_seeds
    if count == 0:
        return
    if parts.config.unmeasured:
        parts.say("no training with fresh seeds: without a metric nothing says how they did")
        return
    parts.observe(RoundStarted("final: fresh seeds"))
    programs = {winner: parts.graph_path(winner)}
    if parts.journal.get("final/training") is None and (reference := _reference(parts)) is not None:
        programs[reference] = parts.graph_path(reference)
    results = parts.train("final", programs, seeds=range(FRESH_SEED, FRESH_SEED + count), racing=False)
    measure_final_wishes(parts, results)


def _reference(parts: Parts) -> str | None:
    """The reward that a refined run started from; else the pack's sparse one, where it has one for this goal."""
    if parts.config.refines is not None:
        return START if parts.graph_path(START).exists() else None
    return SPARSE if add_reference(parts, SPARSE) else None


def add_reference(parts: Parts, name: str) -> bool:
    """Compile a reference reward of the pack into the run; False where there is none for this goal."""
    source = parts.environment.reference_rewards.get(name) if parts.is_default_task else None
    if source is None:
        return False
    folder = parts.folder.candidate(name)
    if folder.graph_path.exists() and folder.reward_path.exists() and folder.read_reward() == source:
        return True  # compiled before; workers check every graph that they load
    compiled = compile_reward(source, parts.environment.interface, parts.jail)
    if compiled.program is None:
        raise EnvironmentFault(
            f"the pack {parts.environment.name} has a {name}.py that is no reward: {compiled.findings[0].message}",
            hint=f"rewardsmith check {name}.py --env {parts.config.env.name}",
        )
    folder.write_graph(compiled.program.to_json())  # before its source, by which it is found again
    folder.write_reward(source)
    return True


def film(parts: Parts, winner: str) -> None:
    """Film the winner for the report, once. Raises: EnvironmentFault: nothing can be drawn here."""
    path = parts.folder.root / FILM
    if path.exists():
        return
    policies = [load_policy(p) for p in winner_policies(parts.folder.root, winner)]
    goal = located_goal(parts.task.goal, parts.folder.root)
    with parts.watching("filming"):
        best = record_best(parts.environment, goal, policies, seed=parts.config.seed)
        write_bytes(path, film_of(parts.environment, best))
