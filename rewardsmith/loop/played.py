"""What a round's policies do: whole episodes of each, for the analyzer and for the next round's critic."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch

from rewardsmith.bank import Bank, concatenate
from rewardsmith.envs import Environment
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.summary import best_members, located_goal
from rewardsmith.train import evaluate, load_metric, load_policy
from rewardsmith.train.evaluate import EpisodeScores
from rewardsmith.train.seeding import fresh_root
from rewardsmith.types import Member, TrainingResult

EPISODES = 4  # of each policy
AT_ONCE = 8  # policies, so that what is held in memory stays small
FOR_CRITIC = 4  # policies


class Played:
    """The episodes of everything that one round trained to the end, recorded when they are first asked for.

    They begin with the seeds of those that measured the kept policies, so they show what the scores are about.
    """

    def __init__(self, parts: Parts, key: str, results: Mapping[str, TrainingResult]) -> None:
        self._parts, self._key, self._results = parts, key, results

    @property
    def affordable(self) -> bool:
        paid = self._parts.journal.get(f"cost/played.{self._key}") is not None
        return paid or self._parts.affords(played_steps(self._parts.environment, len(self._members)))

    def of(self, candidate: str) -> Bank | None:
        """All episodes of a candidate's policies; None if it has none, or the budget does not allow for more steps."""
        banks = [bank for member, bank in self._banks.items() if member.candidate == candidate]
        return concatenate(banks) if banks else None

    def best(self) -> Bank | None:
        """The episodes of the best candidates' best policies: success as it looks here, and what comes near it."""
        banks = [self._banks[m] for m in best_members(self._results, FOR_CRITIC) if m in self._banks]
        return concatenate(banks) if banks else None

    @property
    def _members(self) -> list[Member]:
        return [
            Member(m.candidate, m.seed)
            for result in self._results.values()
            for m in result.members
            if m.state == "trained" and m.kept
        ]

    @cached_property
    def _banks(self) -> dict[Member, Bank]:
        if not self._members or not self.affordable:
            return {}
        parts, found = self._parts, {}
        metric = load_metric(parts.environment, located_goal(parts.task.goal, parts.folder.root))
        with parts.watching("recording episodes of trained policies in"):
            for start in range(0, len(self._members), AT_ONCE):
                members = self._members[start : start + AT_ONCE]
                policies = [load_policy(parts.policy_path(m)) for m in members]
                scores = evaluate(
                    parts.environment,
                    metric,
                    policies,
                    episodes=EPISODES,
                    seed=fresh_root(parts.config.seed),
                    record=True,
                )
                for member, score in zip(members, scores, strict=True):
                    name = f"{member.candidate} seed {member.seed}"
                    found[member] = bank_of(score, parts.environment, policy=name, goal=metric.about)
        parts.pay(f"played.{self._key}", sum(bank.env_steps for bank in found.values()))
        return found


def played_steps(environment: Environment, policies: int) -> int:
    """Env steps that recording the episodes of so many policies takes at most."""
    return policies * EPISODES * environment.horizon


def bank_of(scores: EpisodeScores, environment: Environment, *, policy: str, goal: str) -> Bank:
    """The recorded trajectories of an evaluation as a bank."""
    played = scores.trajectories
    lengths = torch.tensor([len(t.action) for t in played])
    ends = torch.cumsum(lengths, 0) - 1
    last = torch.zeros(int(lengths.sum()), dtype=torch.bool)
    last[ends] = True
    terminated = torch.zeros_like(last)
    terminated[ends] = torch.tensor([t.terminated for t in played])
    names = played[0].features
    return Bank(
        obs={name: torch.cat([t.features[name][:-1] for t in played]) for name in names},
        next_obs={name: torch.cat([t.features[name][1:] for t in played]) for name in names}
        | {"terminated": terminated},
        action=torch.cat([t.action for t in played]),
        truncated=last & ~terminated,
        episode=torch.repeat_interleave(torch.arange(len(played)), lengths),
        t=torch.cat([torch.arange(int(length)) for length in lengths]),
        fitness=torch.from_numpy(scores.fitness).double(),
        success=torch.from_numpy(scores.success).double(),
        interface=environment.interface.digest,
        env_steps=scores.env_steps,
        env=environment.name,
        policy=policy,
        goal=goal,
    )
