"""The clips that people compare: the same few episodes of each candidate's policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from rewardsmith.bank import Bank
from rewardsmith.clips import Clip, load_clip, record_clip, save_clip
from rewardsmith.clips.recording import pace_of
from rewardsmith.envs import Environment
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


Clips = Mapping[tuple[str, int], Clip]
"""By candidate and reset seed."""


def load_clips(parts: Parts, candidates: Iterable[str]) -> Clips:
    """Clips that `record_clips` made of them. Raises: RunError: one is damaged."""
    paths = {(id, seed): parts.folder.candidate(id).clip_path(seed) for id in sorted(candidates) for seed in SEEDS}
    return {key: load_clip(path, root=parts.folder.root) for key, path in paths.items() if path.exists()}


def bank_of_clips(clips: Clips, environment: Environment) -> tuple[Bank, dict[tuple[str, int], int]]:
    """The clips as recorded episodes of unknown success, and which episode each one is."""
    played = list(clips.values())
    lengths = torch.tensor([clip.steps for clip in played])
    last = torch.zeros(int(lengths.sum()), dtype=torch.bool)
    ends = lengths.cumsum(0) - 1
    last[ends] = torch.tensor([clip.ended != "goes on" for clip in played])
    terminated = torch.zeros_like(last)
    terminated[ends] = torch.tensor([clip.ended in ("terminated", "broke down") for clip in played])

    def features(steps: slice) -> dict[str, torch.Tensor]:
        names = [feature.name for feature in environment.interface.features]
        return {name: torch.cat([torch.from_numpy(clip.features[name][steps]) for clip in played]) for name in names}

    unknown = torch.full((len(played),), torch.nan, dtype=torch.float64)
    bank = Bank(
        obs=features(slice(None, -1)),
        next_obs=features(slice(1, None)) | {"terminated": terminated},
        action=torch.cat([torch.from_numpy(clip.action) for clip in played]),
        truncated=last & ~terminated,
        episode=torch.repeat_interleave(torch.arange(len(played)), lengths),
        t=torch.cat([torch.arange(int(length)) for length in lengths]),
        fitness=unknown,
        success=unknown,
        interface=environment.interface.digest,
        env_steps=int(lengths.sum()),
        env=environment.name,
        policy="trained",
    )
    return bank, {key: episode for episode, key in enumerate(clips)}
