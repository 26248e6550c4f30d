"""A critic for files: over an environment's recorded episodes, or over an interface alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rewardsmith.bank import Bank, record_bank, record_simple
from rewardsmith.critic.critic import Critic
from rewardsmith.critic.files import check_files
from rewardsmith.critic.interface import interface_from_json
from rewardsmith.envs import resolve_env
from rewardsmith.reward.compile import reward_jail

GOAL_STATES = 256
TRANSITIONS = 5_000  # recorded for one `check`; a design run records more, once

__all__ = ["check_files", "critic_for"]


@contextmanager
def critic_for(
    env: str | None,
    interface: Path | None = None,
    env_kwargs: Mapping[str, object] | None = None,
    *,
    allow_unsandboxed: bool = False,
) -> Iterator[Critic]:
    """A critic whose jail lives as long as the block.

    Raises: RewardsmithError: the environment or the interface file is at fault, or no jail can be built.
    """
    bank: Bank | None = None
    goal_states = None
    simple: dict[str, Bank] = {}
    if env is not None:
        environment = resolve_env(env, kwargs=dict(env_kwargs or {}))
        features = environment.interface
        bank = record_bank(environment, transitions=TRANSITIONS, seed=0)
        goal_states = environment.goal_states(GOAL_STATES, np.random.default_rng(0))
        simple = record_simple(environment, seed=0)
    else:
        assert interface is not None
        features = interface_from_json(interface)
    with reward_jail(allow_unsandboxed=allow_unsandboxed) as jail:
        yield Critic(features, jail, bank=bank, goal_states=goal_states, simple=simple)
