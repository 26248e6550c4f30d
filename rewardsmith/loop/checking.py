"""A critic for files: over an environment's recorded episodes, or over an interface alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rewardsmith.bank import record_bank, record_simple
from rewardsmith.critic.checks_episodes import successes_lose
from rewardsmith.critic.critic import Critic
from rewardsmith.critic.files import check_files
from rewardsmith.critic.interface import interface_from_json
from rewardsmith.critic.native import Terms, audit, native_evidence, record_native
from rewardsmith.critic.table import NATIVE_CHECKS
from rewardsmith.engine import watching
from rewardsmith.envs import Environment
from rewardsmith.loop.building import build
from rewardsmith.reward.compile import compile_reward, prepare, reward_jail
from rewardsmith.types import Finding, Record

GOAL_STATES = 256
NATIVE_TRANSITIONS = 10_000
TRANSITIONS = 5_000  # recorded for one `check`; a design run records more, once

__all__ = ["NativeAudit", "audit_native", "check_files", "critic_for"]


class NativeAudit(Record):
    """What the critic sees in an environment's own reward, on random episodes and on those of simple policies."""

    env: str
    env_steps: int
    findings: tuple[Finding, ...]


def audit_native(
    env: str, env_kwargs: Mapping[str, object] | None = None, *, allow_unsandboxed: bool = False
) -> NativeAudit:
    """Audit the native reward of a pack or a Gymnasium id. No reward file and no model is needed.

    Raises: RewardsmithError: the environment is at fault, or (for a pack with `human.py`) no jail can be built.
    """
    environment = build(env, env_kwargs)
    published = environment.reference_rewards.get("human")
    terms = _terms_of(published, environment, allow_unsandboxed) if published else None
    with watching(f"recording episodes of {environment.name}"):
        recording = record_native(environment, transitions=NATIVE_TRANSITIONS, seed=0, terms=terms)
    checks = (*NATIVE_CHECKS, successes_lose) if recording.independent else NATIVE_CHECKS
    findings = audit(native_evidence(recording, environment.interface), checks)
    return NativeAudit(env=environment.name, env_steps=recording.env_steps, findings=tuple(findings))


def _terms_of(code: str, environment: Environment, allow_unsandboxed: bool) -> Terms | None:
    """The components of a pack's published reward."""
    with reward_jail(allow_unsandboxed=allow_unsandboxed) as jail:
        program = compile_reward(code, environment.interface, jail).program
    if program is None:
        return None
    return lambda bank: program(bank.obs, bank.action, bank.next_obs).components


@contextmanager
def critic_for(
    env: str | None,
    interface: Path | None = None,
    env_kwargs: Mapping[str, object] | None = None,
    *,
    own_task: bool = False,
    allow_unsandboxed: bool = False,
) -> Iterator[Critic]:
    """A critic whose jail lives as long as the block.

    Args:
        own_task: the rewards are for another task than the pack's, whose goal states say nothing then.

    Raises: RewardsmithError: the environment or the interface file is at fault, or no jail can be built.
    """
    environment = build(env, env_kwargs) if env is not None else None
    features = environment.interface if environment else interface_from_json(interface or Path())
    with reward_jail(allow_unsandboxed=allow_unsandboxed) as jail:
        prepare(jail)
        if environment is None:
            yield Critic(features, jail)
            return
        with watching(f"recording episodes of {environment.name}"):
            critic = Critic(
                features,
                jail,
                bank=record_bank(environment, transitions=TRANSITIONS, seed=0),
                goal_states=None if own_task else environment.goal_states(GOAL_STATES, np.random.default_rng(0)),
                simple=record_simple(environment, seed=0),
                goal_ends=environment.goal_ends(None if own_task else environment.default_task),
                horizon=environment.horizon,
            )
        yield critic
