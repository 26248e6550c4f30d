"""The clips that people compare: the same few episodes of each candidate's policy."""

from __future__ import annotations

from collections.abc import Mapping

from rewardsmith.clips import record_clip, save_clip
from rewardsmith.clips.recording import pace_of
from rewardsmith.errors import RunError
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.summary import best_members
from rewardsmith.train import load_policy
from rewardsmith.types import TrainingResult

SEEDS = (0, 1, 2)  # reset seeds; raters look at one episode at a time, the same one of all candidates


def record_clips(parts: Parts, round: int, results: Mapping[str, TrainingResult]) -> None:
    """Record the policies of a round, the best seed of each candidate, and pay for it.

    Raises: EnvironmentFault: the environment raised. BudgetSpent: the budget does not allow for so many steps.
    """
    key = f"clips.round-{round}"
    if parts.journal.get(f"cost/{key}") is not None:
        return
    members = best_members(results, len(results))
    parts.budget.require(env_steps=len(members) * len(SEEDS) * pace_of(parts.environment).steps)
    steps = 0
    with parts.watching("recording clips of trained policies in"):
        for member in members:
            policy, program = load_policy(parts.policy_path(member)), parts.load_program(member.candidate)
            for seed in SEEDS:
                try:
                    clip = record_clip(parts.environment, policy, seed=seed, program=program)
                except RunError:  # the reward fails on this episode: what was done can be seen all the same
                    clip = record_clip(parts.environment, policy, seed=seed)
                save_clip(parts.folder.candidate(member.candidate), clip)
                steps += clip.steps
    parts.pay(key, steps)
