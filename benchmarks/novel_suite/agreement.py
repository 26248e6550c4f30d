"""Runs under a hidden metric: whether the goal that a model wrote agrees with it, and whether the policy succeeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import binomtest, rankdata
from torch import Tensor

from rewardsmith.bank import Bank, record_bank, record_simple
from rewardsmith.envs import Environment, Metric, score_episodes
from rewardsmith.errors import RunError
from rewardsmith.loop.summary import RunSummary, best_members, located_goal
from rewardsmith.stats import Interval
from rewardsmith.store import inside
from rewardsmith.train import Policy, Trajectory, evaluate, load_metric, load_policy

EPISODES = 200
RANDOM = 0.1  # share of them, of the random policy
MOST_POLICIES = 40
UNSEEN = 0x6E6F76656C  # root of the episodes' seeds: far from the small ones that runs are started with


class Episode(NamedTuple):
    """One episode of L steps as a metric reads it; every tensor starts with L rows."""

    before: dict[str, Tensor]
    after: dict[str, Tensor]
    action: Tensor
    terminated: Tensor


class Agreement(NamedTuple):
    """How well a goal's scores tell hidden successes from hidden failures."""

    auc: float | None  # the chance that a success outranks a failure, 0 to 1; None: one of the two is missing
    successes: int
    episodes: int

    def __str__(self) -> str:
        told = "cannot tell" if self.auc is None else f"{self.auc:.2f}"
        return f"{told} ({self.successes} of {self.episodes})"


# --- measuring -----------------------------------------------------------------------------------------------------


def measure(metric: Metric, episodes: Sequence[Episode]) -> tuple[np.ndarray, np.ndarray]:
    """(fitness, success), each (E,), of recorded episodes. Metrics that need the native reward do not work here."""
    quantities = metric.step(
        _joined([e.after for e in episodes]),
        _joined([e.before for e in episodes]),
        action=torch.cat([e.action for e in episodes]),
        native_reward=torch.full((sum(len(e.action) for e in episodes),), torch.nan),
        terminated=torch.cat([e.terminated for e in episodes]),
    )
    fitness, success = score_episodes(metric, quantities, torch.tensor([len(e.action) for e in episodes]))
    return fitness.numpy(), success.numpy()


def _joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def agreement(goal: Metric, hidden: Metric, episodes: Sequence[Episode]) -> Agreement:
    """The area under the ROC curve of the goal's (success, fitness), in that order, for the hidden success."""
    fitness, success = measure(goal, episodes)
    truth = measure(hidden, episodes)[1] > 0.5
    won, lost = int(truth.sum()), int((~truth).sum())
    if not (won and lost):
        return Agreement(None, won, len(episodes))
    ranks = rankdata(rankdata(success, "dense") * (len(episodes) + 1) + rankdata(fitness, "dense"))
    return Agreement(float((ranks[truth].sum() - won * (won + 1) / 2) / (won * lost)), won, len(episodes))


def success_interval(successes: int, episodes: int) -> Interval:
    """The share of successes with Wilson's 95 % interval."""
    found = binomtest(successes, episodes)
    low, high = found.proportion_ci(0.95, method="wilson")
    return Interval(successes / episodes, float(low), float(high), episodes, "episodes, not seeds")


# --- episodes ------------------------------------------------------------------------------------------------------


def of_bank(bank: Bank) -> list[Episode]:
    """The episodes of a bank."""

    def episode(rows: slice) -> Episode:
        before = {name: values[rows] for name, values in bank.obs.items()}
        after = {name: bank.next_obs[name][rows] for name in bank.obs}
        return Episode(before, after, bank.action[rows], bank.terminated[rows])

    return [episode(bank.rows(i)) for i in range(bank.episodes)]


def of_trajectory(trajectory: Trajectory) -> Episode:
    """What the clean evaluator recorded."""
    terminated = torch.zeros(len(trajectory.action), dtype=torch.bool)
    terminated[-1] = trajectory.terminated
    return Episode(
        {name: values[:-1] for name, values in trajectory.features.items()},
        {name: values[1:] for name, values in trajectory.features.items()},
        trajectory.action,
        terminated,
    )


def varied_episodes(
    environment: Environment, hidden: Metric, policies: Sequence[Policy], *, episodes: int = EPISODES
) -> list[Episode]:
    """Episodes of the random policy, of simple ones, and for the rest in equal parts of `policies`.

    Where there are no policies there are fewer than `episodes`.
    """
    found = of_bank(record_bank(environment, episodes=max(1, round(RANDOM * episodes)), seed=UNSEEN, metric=hidden))
    for bank in record_simple(environment, seed=UNSEEN, metric=hidden).values():
        found += of_bank(bank)
    missing = max(0, episodes - len(found))
    for i, policy in enumerate(policies):
        if count := missing * (i + 1) // len(policies) - missing * i // len(policies):
            (scores,) = evaluate(environment, hidden, [policy], episodes=count, seed=UNSEEN + 1 + i, record=True)
            found += [of_trajectory(trajectory) for trajectory in scores.trajectories]
    return found[:episodes]


# --- runs ----------------------------------------------------------------------------------------------------------


def agreement_of(run: RunSummary, environment: Environment, hidden: Metric, *, episodes: int = EPISODES) -> Agreement:
    """How well the goal of a run ranks varied episodes, those of its own policies among them.

    Raises: RunError: the run has no goal yet, or a file of it is missing or damaged.
    """
    if run.task is None:
        raise RunError(f"the run {run.id} has no goal yet", hint=f"rewardsmith resume {run.id}")
    goal = load_metric(environment, located_goal(run.task.goal, run.root))
    return agreement(goal, hidden, varied_episodes(environment, hidden, list(policies_of(run)), episodes=episodes))


def success_of(run: RunSummary, environment: Environment, hidden: Metric, *, episodes: int = EPISODES) -> Interval:
    """The share of fresh episodes in which the run's best policy succeeds; the run's own goal said which is best.

    Raises: RunError: the run has trained nothing.
    """
    best, trainings = run.best or "", {c.id: c.training for c in run.candidates}
    for result in (run.final.get(best), trainings.get(best)):  # fresh seeds first
        if result is not None and (members := best_members({best: result}, 1)):
            break
    else:
        raise RunError(f"the run {run.id} has no trained policy", hint=f"rewardsmith resume {run.id}")
    path = run.root / "candidates" / best / "seeds" / str(members[0].seed) / "policy.safetensors"
    (scores,) = evaluate(environment, hidden, [load_policy(inside(run.root, path))], episodes=episodes, seed=UNSEEN)
    return success_interval(int((scores.success > 0.5).sum()), episodes)


def policies_of(run: RunSummary) -> Iterator[Policy]:
    """Policies of all candidates and seeds of a run; where there are too many, evenly many of them."""
    paths = sorted((run.root / "candidates").glob("*/seeds/*/policy.safetensors"))
    picked = np.linspace(0, len(paths) - 1, min(len(paths), MOST_POLICIES)).round().astype(int)
    for i in picked:
        yield load_policy(inside(run.root, paths[i]))
