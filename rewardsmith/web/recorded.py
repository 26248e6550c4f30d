"""Films of a run's trained candidates: clips that its search recorded, and others, played when first asked for."""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from types import TracebackType

from rewardsmith.clips import ClipFilms, record_clip, save_clip
from rewardsmith.engine import watching
from rewardsmith.envs import Environment
from rewardsmith.errors import RunError
from rewardsmith.loop.building import build
from rewardsmith.loop.clipping import SEEDS
from rewardsmith.loop.summary import RunSummary, best_members
from rewardsmith.reward.graph import parse_graph
from rewardsmith.reward.program import RewardProgram
from rewardsmith.store import RunFolder, inside
from rewardsmith.train import load_policy


class RecordedFilms:
    """`films.Films` of a run; a context manager.

    The environment's code will run: of somebody else's run, ask whether it is trusted first.
    """

    def __init__(self, run: RunSummary) -> None:
        self._run, self._folder = run, RunFolder.open(run.root)
        self._films = ClipFilms(self._folder, run.config.env)
        results = {c.id: c.training for c in run.candidates if c.training is not None}
        self._members = {member.candidate: member for member in best_members(results, len(results))}
        self._recording = threading.Lock()

    @property
    def trained(self) -> list[str]:
        """Candidates that have a policy to show."""
        return sorted(self._members)

    def seeds(self, candidate: str) -> list[int]:
        recorded = self._films.seeds(candidate)
        return sorted({*recorded, *SEEDS}) if candidate in self._members else recorded

    def film(self, candidate: str, seed: int) -> Path:
        if seed not in self._films.seeds(candidate):
            with self._recording:
                if seed not in self._films.seeds(candidate):
                    self._record(candidate, seed)
        return self._films.film(candidate, seed)

    def _record(self, candidate: str, seed: int) -> None:
        """The candidate's best policy, as the clean evaluator measured it."""
        member, folder = self._members[candidate], self._folder.candidate(candidate)
        policy = load_policy(inside(self._run.root, folder.seed(member.seed) / "policy.safetensors"))
        with watching(f"recording a clip in {self._environment.name}"):
            try:
                program = RewardProgram.from_graph(parse_graph(folder.read_graph(), self._environment.interface))
                clip = record_clip(self._environment, policy, seed=seed, program=program)
            except RunError:  # the reward fails on this episode: what was done can be seen all the same
                clip = record_clip(self._environment, policy, seed=seed)
        save_clip(folder, clip)

    @cached_property
    def _environment(self) -> Environment:
        return build(self._run.config.env.name, self._run.config.env.kwargs)

    def close(self) -> None:
        self._films.close()

    def __enter__(self) -> RecordedFilms:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
