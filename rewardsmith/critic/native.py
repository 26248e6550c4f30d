"""An environment's own reward under the critic's eyes: recorded, not computed, so only recorded rows can be judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor

from rewardsmith.bank import Bank, record_bank
from rewardsmith.bank.simple import EPISODES, simple_policies
from rewardsmith.critic.evidence import Evidence, Inconclusive
from rewardsmith.critic.findings import Check
from rewardsmith.critic.sample import from_bank
from rewardsmith.envs import Environment, Metric, NativeMetric
from rewardsmith.reward.program import RewardOutput, RewardProgram
from rewardsmith.types import Finding, RewardInterface

TOTAL = "native reward"  # columns beside the features; no feature can have a name with a space
TERM = "native term "

Terms = Callable[[Bank], Mapping[str, Tensor]]
"""Parts of the native reward on the rows of a bank, each (M,)."""


class NativeRecording(NamedTuple):
    """Random episodes and episodes of simple policies, with the native reward (and its terms) in `next_obs`."""

    random: Bank
    simple: dict[str, Bank]
    terms: tuple[str, ...]
    independent: bool  # whether success is measured by anything else than the native return

    @property
    def env_steps(self) -> int:
        return self.random.env_steps + sum(bank.env_steps for bank in self.simple.values())


def record_native(env: Environment, *, transitions: int, seed: int, terms: Terms | None = None) -> NativeRecording:
    """Record the native reward. Success stays unknown where the environment defines none.

    Args:
        terms: the parts of the native reward, where they are known better than from `info`.
    """
    watched = () if terms else env.watch_reward_terms()
    metric = env.metric(None)

    def record(**how: object) -> Bank:
        listener = _Listener(metric, watched)
        bank = record_bank(env, seed=seed, metric=listener, **how)  # type: ignore[arg-type]
        parts = terms(bank) if terms else listener.terms
        columns = {TOTAL: listener.reward} | {f"{TERM}{name}": value for name, value in parts.items()}
        success = bank.success
        if isinstance(metric, NativeMetric) and not metric.knows_success:
            success = torch.full_like(success, torch.nan)
        return replace(bank, next_obs=bank.next_obs | columns, success=success)

    random = record(transitions=transitions)
    simple: dict[str, Bank] = {}
    for name, policy in simple_policies(env.interface.action):
        simple[name] = record(episodes=EPISODES, policy=policy, policy_name=name)
    names = tuple(name.removeprefix(TERM) for name in random.next_obs if name.startswith(TERM))
    return NativeRecording(random, simple, names, not isinstance(metric, NativeMetric) or metric.has_success)


class _Listener:
    """A metric that keeps the native reward and its terms of the rows it measures."""

    def __init__(self, metric: Metric, watched: Iterable[str]) -> None:
        self.about = metric.about
        self._metric, self._watched = metric, tuple(watched)
        self.reward, self.terms = torch.zeros(0), {}

    def step(self, features: dict[str, Tensor], previous: dict[str, Tensor], **more: object) -> dict[str, Tensor]:
        self.reward = cast(Tensor, more["native_reward"]).float()
        info = cast(Mapping[str, Tensor], more["info"])
        self.terms = {name: info[name].float() for name in self._watched}
        return self._metric.step(features, previous, **more)  # type: ignore[arg-type]

    def episode(self, *quantities: object) -> tuple[Tensor, Tensor]:
        return self._metric.episode(*quantities)  # type: ignore[arg-type]


class RecordedReward:
    """Stands where a reward program stands, and reads off what was recorded with each row."""

    uses_memory, remembers, has_potential, unused_features, graph_id = False, False, False, (), ""

    def __init__(self, terms: Iterable[str]) -> None:
        self._terms = tuple(terms)

    def __call__(
        self, obs: Mapping[str, Tensor], action: Tensor, next_obs: Mapping[str, Tensor], **_: object
    ) -> RewardOutput:
        return RewardOutput(next_obs[TOTAL], {name: next_obs[f"{TERM}{name}"] for name in self._terms}, None)


def native_evidence(recording: NativeRecording, interface: RewardInterface) -> Evidence:
    """Evidence for checks that look at recorded rows only."""
    return Evidence(
        cast(RewardProgram, RecordedReward(recording.terms)),
        interface,
        recorded=from_bank(recording.random),
        simple={name: from_bank(bank) for name, bank in recording.simple.items()},
    )


def audit(evidence: Evidence, checks: Iterable[Check]) -> list[Finding]:
    """What the checks see; one that cannot answer is left out, and so are refusals: this reward is as it is."""
    findings = []
    for check in checks:
        try:
            seen = check.run(evidence)
        except Inconclusive:
            continue
        if seen is not None:
            finding = check.finding(seen)
            findings.append(finding.model_copy(update={"severity": "warn"}) if check.severity == "refuse" else finding)
    return findings
