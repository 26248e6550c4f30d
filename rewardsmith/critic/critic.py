"""The critic: one verdict a candidate, before any training is paid for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from rewardsmith.bank import Bank
from rewardsmith.critic.checks_values import crash
from rewardsmith.critic.evidence import EvaluationFailed, Evidence, Inconclusive
from rewardsmith.critic.findings import NEEDS_RECORDED, STAGES
from rewardsmith.critic.likeness import Likeness
from rewardsmith.critic.sample import dtype_of, from_bank, synthetic
from rewardsmith.critic.table import CHECKS, FINDINGS
from rewardsmith.errors import EnvironmentFault
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.program import RewardProgram
from rewardsmith.types import Finding, Proposal, RewardInterface, Verdict

GOALS_FIX = "goal_states(n, rng) returns every feature of the pack, each (n, *shape)"
DUPLICATE = "duplicate.near"  # a candidate refused for this alone ends as `duplicate`, not as `refused`
NOVELTY = "duplicate.novelty"  # how far an accepted candidate is from those tried before it


class CriticReport(NamedTuple):
    """`program` is None exactly when the code did not compile; a compiled reward may still be refused."""

    verdict: Verdict
    program: RewardProgram | None


class Critic:
    """Checks rewards of one environment. Keeps what all candidates share: samples, and the rewards tried.

    Args:
        interface: what a reward may read.
        jail: the jail rewards are traced in (`rewardsmith.reward.compile.reward_jail()`); the caller closes it.
        bank: recorded transitions; without one, checks that need an environment are reported as skipped.
        goal_states: features of goal states, each (G, ...), for the direction probe.
        reference: rewards already tried, by candidate id; more are added with `remember`.
        simple: recorded episodes of policies that need no learning (`bank.simple`), by name, for the exploit probe.
        words: the task as the person put it.
        goal_ends: whether reaching the goal ends the episode; None: not declared.
        horizon: steps an episode may have; None: as many as the longest recorded one.
        sign_only: accept only rewards whose sizes are those of `toolkit.sign_only`.
    """

    def __init__(
        self,
        interface: RewardInterface,
        jail: Jail,
        *,
        bank: Bank | None = None,
        goal_states: Mapping[str, Tensor] | None = None,
        reference: Mapping[str, RewardProgram] | None = None,
        simple: Mapping[str, Bank] | None = None,
        words: str = "",
        goal_ends: bool | None = None,
        horizon: int | None = None,
        sign_only: bool = False,
    ) -> None:
        self.interface = interface
        self.jail = jail
        self._recorded = None if bank is None or not len(bank) else from_bank(bank)
        self._invented = synthetic(interface)
        self._goals = None if goal_states is None else checked_goals(interface, goal_states)
        self._simple = {name: from_bank(played) for name, played in (simple or {}).items() if len(played)}
        self._words, self._goal_ends, self._horizon = words, goal_ends, horizon
        self._sign_only = sign_only
        self._tried = Likeness(self._recorded, self._invented)
        for candidate_id, program in (reference or {}).items():
            self.remember(candidate_id, program)

    def remember(self, candidate_id: str, program: RewardProgram) -> None:
        """Later candidates that ask for the same policies as this one are refused as duplicates."""
        self._tried.remember(candidate_id, program)

    def check(self, candidate: Proposal | str, *, candidate_id: str = "") -> CriticReport:
        """The verdict on a proposal or on reward code (untrusted). Never raises for bad code."""
        start = time.perf_counter()
        if isinstance(candidate, Proposal):
            candidate_id = candidate_id or candidate.id
        code, failure = (candidate, "") if isinstance(candidate, str) else (candidate.code, candidate.failure)
        program, findings = None, [missing_code(failure)]
        if code.strip() and not failure:
            compiled = compile_reward(code, self.interface, self.jail)
            program, findings = compiled.program, list(compiled.findings)
            if program is not None:
                findings += examine(self._evidence(program, candidate_id))
        verdict = Verdict(
            candidate=candidate_id,
            accepted=program is not None and not refused(findings),
            findings=tuple(findings),
            graph_id=program.graph_id if program is not None else "",
            cost_ms=1e3 * (time.perf_counter() - start),
        )
        return CriticReport(verdict, program)

    def _evidence(self, program: RewardProgram, candidate_id: str) -> Evidence:
        return Evidence(
            program,
            self.interface,
            recorded=self._recorded,
            goals=self._goals,
            tried=self._tried,
            candidate=candidate_id,
            drawn=self._invented,
            simple=self._simple,
            words=self._words,
            goal_ends=self._goal_ends,
            horizon=self._horizon,
            sign_only=self._sign_only,
        )


def examine(evidence: Evidence) -> list[Finding]:
    """All checks on one compiled reward, stage by stage; the stage after a refusal is not reached."""
    findings: list[Finding] = []
    for stage in STAGES:
        if stage in NEEDS_RECORDED and evidence.recorded is None:
            findings.append(note(f"{stage}.skipped", f"{STAGES[stage]}: needs recorded transitions of an environment"))
            continue
        reasons: dict[str, None] = {}
        for check in CHECKS:
            if check.stage != stage:
                continue
            try:
                seen = check.run(evidence)
            except EvaluationFailed as failure:  # a reward must not choose which checks it fails in
                findings.append(crash.finding(f"evaluating the reward for {check.id} failed: {failure}"))
                return findings
            except Inconclusive as reason:
                reasons[str(reason)] = None
                continue
            if seen is not None:
                findings.append(check.finding(seen))
                if check.severity == "refuse":
                    return findings
        if reasons:
            findings.append(note(f"{stage}.inconclusive", f"{STAGES[stage]}: {'; '.join(reasons)}"))
    return findings


def checked_goals(interface: RewardInterface, goal_states: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Goal states as tensors of the interface's dtypes. Raises: EnvironmentFault: a feature is missing or misshapen."""
    goals = {}
    for feature in interface.features:
        if feature.name not in goal_states:
            raise EnvironmentFault(f"the goal states lack the feature {feature.name!r}", hint=GOALS_FIX)
        states = torch.as_tensor(goal_states[feature.name]).to(dtype_of(feature))
        if states.shape[:1] in ((), (0,)) or states.shape[1:] != feature.shape:
            raise EnvironmentFault(
                f"goal states of {feature.name!r} have shape {tuple(states.shape)}, not (states, *{feature.shape})",
                hint=GOALS_FIX,
            )
        goals[feature.name] = states
    return goals


def refused(findings: list[Finding]) -> bool:
    return any(finding.severity == "refuse" for finding in findings)


def note(id: str, message: str) -> Finding:
    return Finding(id=id, severity="info", message=message, hint=FINDINGS[id].fix)


def fatal(candidate_id: str, deaths: int) -> Verdict:
    """The verdict on a reward that was being checked when the process died, so many times."""
    message = f"{deaths} processes died while they checked it"
    finding = Finding(id="code.fatal", severity="refuse", message=message, hint=FINDINGS["code.fatal"].fix)
    return Verdict(candidate=candidate_id, accepted=False, findings=(finding,))


def missing_code(failure: str) -> Finding:
    """The finding for a proposal without code; `failure` says why there is none (untrusted)."""
    message = f"there is no reward code: {failure[:200]}" if failure else "there is no reward code"
    return Finding(id="code.missing", severity="refuse", message=message, hint=FINDINGS["code.missing"].fix)
