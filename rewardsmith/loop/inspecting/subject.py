"""Which reward is meant by a file, by `RUN` or `RUN:CANDIDATE`, or by the name of one of a pack's own rewards."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rewardsmith.errors import RunError, UsageError, unknown
from rewardsmith.loop.comparison import REFERENCES
from rewardsmith.loop.summary import RunSummary, best_members, load_run
from rewardsmith.store import CandidateFolder, RunFolder, find_run, inside, read_text_file

HINT = "give a reward file, RUN or RUN:CANDIDATE; `rewardsmith report` lists the runs"


class Subject(NamedTuple):
    """A reward to look at. `run` and `candidate` are there where it is of a run, `policy` where one was trained on it.

    `code` is None for a reward of the environment's pack, which is not built yet: `reference` is its name.
    """

    label: str
    code: str | None
    reference: str = ""
    run: RunSummary | None = None
    candidate: str = ""
    policy: Path | None = None


def find_subject(reward: str | Path, *, runs: str | Path) -> Subject:
    """The reward of that name. Its code is read, and nothing else is done with it.

    Raises: UsageError, RunError: there is no such file, run or candidate, or it cannot be read.
    """
    name = str(reward)
    if Path(name).is_file() or name.endswith(".py"):
        return Subject(Path(name).name, read_text_file(Path(name), hint=HINT))
    if name in REFERENCES:
        return Subject(f"{name} (the pack's own)", None, reference=name)
    run, candidate = _parted(name)
    try:
        folder = find_run(run, Path(runs))
    except RunError as error:
        raise RunError(error.message, hint=f"{HINT}. Runs are looked for in {runs}") from None
    return _of_run(folder, candidate)


def _parted(name: str) -> tuple[str, str]:
    """`RUN:CANDIDATE` in its parts; a folder whose name has a colon is a run."""
    if Path(name).is_dir() or ":" not in name:
        return name, ""
    run, _, candidate = name.rpartition(":")
    return run, candidate


def _of_run(folder: RunFolder, candidate: str) -> Subject:
    summary = load_run(folder.root)
    known = folder.candidate_ids()
    id = candidate or summary.best
    if id is None:
        raise RunError(
            f"the run {summary.id} has no accepted reward",
            hint=f"name a candidate, such as {summary.id}:{known[0]}" if known else "rewardsmith report shows why",
        )
    if id not in known:
        raise RunError(unknown("candidate", id, known), hint=f"rewardsmith report {summary.id} shows them")
    files = folder.candidate(id)
    if not files.reward_path.exists():
        raise RunError(f"the candidate {id} of {summary.id} has no code", hint="rewardsmith report shows why")
    policy = _best_policy(summary, files)
    return Subject(f"{id} of {summary.id}", files.read_reward(), run=summary, candidate=id, policy=policy)


def _best_policy(run: RunSummary, files: CandidateFolder) -> Path | None:
    """Of the fresh seeds where there are some, else of the search seeds."""
    trained = next((c.training for c in run.candidates if c.id == files.id), None)
    for result in (run.final.get(files.id), trained):
        for member in best_members({files.id: result} if result else {}, 1):
            path = files.seeds_root / str(member.seed) / "policy.safetensors"
            if path.exists():
                return inside(run.root, path)
    return None


def require_code(subject: Subject, references: dict[str, str], env: str) -> str:
    """The subject's source text. Raises: UsageError: the environment has no pack with such a reward."""
    if subject.code is not None:
        return subject.code
    if subject.reference not in references:
        known = f"only {', '.join(references)}" if references else "it has no pack with reference rewards"
        raise UsageError(f"{env} has no {subject.reference} reward: {known}", hint=HINT)
    return references[subject.reference]
