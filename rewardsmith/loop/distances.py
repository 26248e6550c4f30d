"""How far apart reward files are, without training on them: what `rewardsmith compare` runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rewardsmith.critic.coverage import make_coverage
from rewardsmith.engine import watching
from rewardsmith.envs import Environment
from rewardsmith.errors import UsageError
from rewardsmith.loop.building import build
from rewardsmith.reward.compile import compile_reward, reward_jail
from rewardsmith.reward.distances import Coverage, Metric, reward_distances
from rewardsmith.reward.program import RewardProgram
from rewardsmith.store import read_text_file
from rewardsmith.types import Record


class DistanceMatrix(Record):
    """`matrix[i][k]` is the distance of `names[i]` and `names[k]`, None where one of them has no place in it.

    `left_out` says which rewards have none, and why; `note` why there is no matrix at all.
    """

    matrix: tuple[tuple[float | None, ...], ...] | None
    left_out: dict[str, str]
    note: str = ""


class CoverageSize(Record):
    """The transitions the distances were measured on. `terminated` is the share of them that ended an episode."""

    about: str
    states: int
    actions: int
    second_actions: int
    terminated: float
    env_steps: int


class DistanceReport(Record):
    """Distances between rewards of one environment: STARC in [0, 2], EPIC and DARD in [0, 1]; 0 asks for the same.

    Attributes:
        uninformative: rewards that are potential shaping only here: they carry no task information.
        refused: rewards that did not pass the gate, the jail or the loader, and why; they have no place anywhere.
    """

    env: str
    gamma: float
    seed: int
    names: tuple[str, ...]
    starc: DistanceMatrix
    epic: DistanceMatrix
    dard: DistanceMatrix
    uninformative: tuple[str, ...]
    refused: dict[str, str]
    coverage: CoverageSize

    @property
    def metrics(self) -> dict[str, DistanceMatrix]:
        return {"STARC": self.starc, "EPIC": self.epic, "DARD": self.dard}


def measure_distances(
    env: str,
    rewards: Sequence[str | Path],
    *,
    env_kwargs: Mapping[str, object] | None = None,
    gamma: float | None = None,
    seed: int = 0,
    allow_unsandboxed: bool = False,
) -> DistanceReport:
    """Distances between reward files.

    Args:
        rewards: files, or "human" and "sparse" for the pack's own.
        gamma: discount of the returns in question; None: the one the environment is trained with.

    Raises: RewardsmithError: the environment or a file is at fault, or no jail can be built.
    """
    if gamma is not None and not 0 <= gamma < 1:
        raise UsageError(f"gamma {gamma:g} is no discount", hint="give a number from 0 to below 1, such as 0.99")
    environment = build(env, env_kwargs)
    gamma = environment.training.gamma if gamma is None else gamma
    codes = read_rewards(rewards, environment.reference_rewards)
    programs, refused = {}, {}
    with reward_jail(allow_unsandboxed=allow_unsandboxed) as jail:
        for name, code in codes.items():
            compiled = compile_reward(code, environment.interface, jail)
            if compiled.program is not None:
                programs[name] = compiled.program
            else:
                finding = next(f for f in compiled.findings if f.severity == "refuse")
                refused[name] = f"{finding.id}: {finding.message}"
    return distances_between(environment, programs, gamma=gamma, seed=seed, refused=refused)


def distances_between(
    environment: Environment,
    programs: Mapping[str, RewardProgram],
    *,
    gamma: float,
    seed: int = 0,
    refused: Mapping[str, str] = MappingProxyType({}),
) -> DistanceReport:
    """Distances between rewards by name. Raises: EnvironmentFault: the environment is at fault."""
    with watching(f"trying actions in {environment.name}"):
        coverage = make_coverage(environment, seed=seed)
    found = reward_distances(programs, coverage, gamma=gamma, seed=seed)
    return DistanceReport(
        env=environment.name,
        gamma=gamma,
        seed=seed,
        names=found.names,
        starc=_as_record(found.starc),
        epic=_as_record(found.epic),
        dard=_as_record(found.dard),
        uninformative=found.uninformative,
        refused=dict(refused),
        coverage=_size(coverage),
    )


def read_rewards(rewards: Sequence[str | Path], references: Mapping[str, str]) -> dict[str, str]:
    """Source by name: a file's stem, or its whole path where two files share their stem.

    Raises: UsageError: a file cannot be read, or the pack has no such reference reward.
    """
    codes: dict[str, str] = {}
    for reward in rewards:
        name, code = str(reward), references.get(str(reward))
        if code is None:
            name = Path(reward).stem
            try:
                code = read_text_file(Path(reward))
            except UsageError as error:
                known = f"; {' and '.join(references)} name the pack's own" if references else ""
                raise UsageError(error.message, hint=f"give UTF-8 text files{known}") from None
        codes[str(reward) if name in codes else name] = code
    return codes


def _as_record(metric: Metric) -> DistanceMatrix:
    matrix = None
    if metric.matrix is not None:
        matrix = tuple(tuple(None if math.isnan(d) else d for d in row) for row in metric.matrix.tolist())
    return DistanceMatrix(matrix=matrix, left_out=metric.left_out, note=metric.note)


def _size(coverage: Coverage) -> CoverageSize:
    return CoverageSize(
        about=coverage.about,
        states=coverage.states,
        actions=coverage.actions,
        second_actions=coverage.second_actions,
        terminated=float(coverage.terminated.double().mean()),
        env_steps=coverage.env_steps,
    )
