"""One run, one folder: `run.json`, the journal, a lock, and a folder for every candidate.

runs/hopper-001/
    run.json            what was asked for, with which versions and seeds; written once
    origin              by which this user's own runs are known
    journal.sqlite      every reply, verdict and result
    votes.sqlite        what people were asked, and every vote
    lock                held while a process drives the run
    candidates/<id>/    reward.py, graph.json, verdict.json, seeds/<k>/, clips/<seed>.safetensors
    cache/              what can be made again
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import Field, ValidationError

from rewardsmith.errors import RunError, unknown
from rewardsmith.store.atomic import json_text, read_json, write_error, write_json, write_text
from rewardsmith.store.inside import inside, read_text_inside
from rewardsmith.store.journal import Journal
from rewardsmith.store.origin import ORIGIN, origin_of
from rewardsmith.types import Record, Verdict

FORMAT = 1  # of run.json and the folder's layout; a change that old code cannot read raises it
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
RECORDED_PACKAGES = (
    "rewardsmith",
    "torch",
    "numpy",
    "gymnasium",
    "mujoco",
    "stable-baselines3",
)  # a run is bit-equal only under the same ones
LATEST = "latest"

log = logging.getLogger(__name__)


class RunInfo(Record):
    """`run.json`: everything needed to start the run again. Written once, when the run is created."""

    format: int
    id: str = Field(pattern=f"^{ID_PATTERN.pattern}$")
    env: str
    env_about: str = ""  # the environment in one line
    created: str  # UTC, ISO 8601
    config: dict[str, object]
    seeds: dict[str, int] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)


class CandidateFolder:
    """`candidates/<id>/`: paths of one candidate's files. The folder exists; the files may not yet."""

    def __init__(self, root: Path, candidate_id: str) -> None:
        self.id = candidate_id
        self.root = root
        self.run_root = root.parents[1]
        self.reward_path = root / "reward.py"
        self.graph_path = root / "graph.json"
        self.verdict_path = root / "verdict.json"
        self.seeds_root = root / "seeds"
        self.clips_root = root / "clips"

    def write_reward(self, code: str) -> None:
        write_text(self.reward_path, code)

    def write_graph(self, graph_json: str) -> None:
        write_text(self.graph_path, graph_json)

    def write_verdict(self, verdict: Verdict) -> None:
        write_json(self.verdict_path, verdict.model_dump(mode="json"))

    def read_verdict(self) -> Verdict:
        """Raises: RunError: missing or damaged."""
        try:
            return Verdict.model_validate(read_json(self.verdict_path, root=self.run_root))
        except ValidationError as error:
            raise _damaged(self.verdict_path, error) from error

    def read_reward(self) -> str:
        """Raises: RunError: missing, or not a text file of this run."""
        return read_text_inside(self.run_root, self.reward_path)

    def read_graph(self) -> str:
        """The graph's JSON, unchecked. Raises: RunError: missing, or not a text file of this run."""
        return read_text_inside(self.run_root, self.graph_path)

    def seed(self, seed: int) -> Path:
        """The folder of one training seed, created when missing."""
        if seed < 0:
            raise ValueError(f"a seed is not negative, got {seed}")
        return _make_folder(self.seeds_root / str(seed))

    def clip_path(self, seed: int) -> Path:
        """The recorded episode that starts from a reset seed; neither the file nor its folder may exist."""
        if seed < 0:
            raise ValueError(f"a seed is not negative, got {seed}")
        return self.clips_root / f"{seed}.safetensors"

    def clip_seeds(self) -> list[int]:
        """Reset seeds of recorded episodes, ascending."""
        if not self.clips_root.is_dir():
            return []
        return sorted(int(path.stem) for path in self.clips_root.glob("*.safetensors") if path.stem.isdecimal())

    def seeds(self) -> list[int]:
        """Seeds that have a folder, ascending."""
        if not self.seeds_root.is_dir():
            return []
        return sorted(int(path.name) for path in self.seeds_root.iterdir() if path.name.isdecimal())


class RunFolder:
    """An existing run on disk. Reading needs no lock; driving it (`lock`) does."""

    def __init__(self, root: Path, info: RunInfo) -> None:
        self.root = root
        self.info = info
        self.id = info.id
        self.journal_path = root / "journal.sqlite"
        self.votes_path = root / "votes.sqlite"
        self.report_path = root / "report.html"
        self.cache_root = root / "cache"

    @classmethod
    def create(
        cls,
        runs: Path,
        config: dict[str, object],
        *,
        env: str,
        env_about: str = "",
        seeds: dict[str, int] | None = None,
    ) -> RunFolder:
        """Makes `runs/<env>-<number>/` with `run.json` and an empty journal. Never collides, whoever else starts now.

        Raises: RunError: the folder cannot be written, or the disk is full.
        """
        runs = _make_folder(runs)
        root = _claim(runs, slug(env))
        info = RunInfo(
            format=FORMAT,
            id=root.name,
            env=env,
            env_about=env_about,
            created=datetime.now(UTC).isoformat(timespec="microseconds"),
            config=config,
            seeds=seeds or {},
            versions=installed_versions(),
        )
        folder = cls(root, info)
        _make_folder(root / "candidates")
        Journal(folder.journal_path, create=True).close()
        run_json = json_text(info.model_dump(mode="json"))
        if (origin := origin_of(run_json.encode("utf-8", errors="replace"))) is not None:
            write_text(root / ORIGIN, origin + "\n")
        write_text(root / "run.json", run_json)  # last: a folder with run.json is complete
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Raises: RunError: no run there, damaged, or written by a newer layout."""
        if not path.is_dir():
            raise RunError(
                f"there is no run folder at {path}", hint="`rewardsmith report` without a run lists the runs"
            )
        file = path / "run.json"
        if not file.exists():
            raise RunError(
                f"{path} is not a run: it has no run.json", hint="name the folder of a run, such as runs/hopper-001"
            )
        content = read_json(file)
        found = content.get("format") if isinstance(content, dict) else None
        if isinstance(found, int) and found != FORMAT:
            age, fix = (
                ("a newer", "update it") if found > FORMAT else ("an older", "install the version it was made with")
            )
            raise RunError(
                f"{file} was written by {age} rewardsmith (format {found}, this one reads {FORMAT})", hint=fix
            )
        try:
            info = RunInfo.model_validate(content)
        except ValidationError as error:
            raise _damaged(file, error) from error
        if not (path / "journal.sqlite").exists():
            raise RunError(
                f"{path} has lost its journal.sqlite", hint="restore the folder from a copy, or start a new run"
            )
        inside(path, path / "journal.sqlite")
        return cls(path, info)

    def journal(self, *, read_only: bool = False) -> Journal:
        """Opens the journal; the caller closes it."""
        return Journal(self.journal_path, read_only=read_only)

    def candidate(self, candidate_id: str) -> CandidateFolder:
        """The folder of a candidate, created when missing.

        Raises: RunError: the id is not `[a-z0-9][a-z0-9_-]*` (at most 64 characters), so that no id can leave the run.
        """
        if not ID_PATTERN.fullmatch(candidate_id):
            raise RunError(
                f"{candidate_id!r} is not a candidate id",
                hint="ids are lower-case letters, digits, - and _, at most 64",
            )
        return CandidateFolder(_make_folder(self.root / "candidates" / candidate_id), candidate_id)

    def candidate_ids(self) -> list[str]:
        """Candidates that have a folder, sorted."""
        parent = self.root / "candidates"
        if not parent.is_dir():
            return []
        return sorted(path.name for path in parent.iterdir() if path.is_dir() and ID_PATTERN.fullmatch(path.name))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process: two drivers of one run would train and pay for everything twice.

        The lock is the kernel's (flock): it ends with the process, however that dies; a left-over file means nothing.
        Raises: RunError: another process drives the run; its pid and host are named.
        """
        path = self.root / "lock"
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise write_error(path, error) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                owner = file.read(200).strip() or "an unknown process"
                raise RunError(
                    f"the run {self.root} is being driven by {owner}",
                    hint="wait for it, or end that process, then resume",
                ) from error
            file.truncate(0)
            file.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            yield

    def require_same_version(self) -> None:
        """For `resume`: the rewardsmith that continues a run is the one that started it.

        Raises: RunError: another version of rewardsmith made this run.
        """
        made, now = self.info.versions.get("rewardsmith", "unknown"), installed_versions()["rewardsmith"]
        if made != now:
            raise RunError(
                f"the run {self.id} was made by rewardsmith {made}, and this is {now}",
                hint=f"pip install rewardsmith=={made} to resume it, or start a new run",
            )

    def changed_versions(self) -> dict[str, tuple[str, str]]:
        """Packages whose version differs from the one the run started with: name -> (then, now). Figures may differ."""
        then, now = self.info.versions, installed_versions()
        return {name: (then.get(name, "none"), now[name]) for name in now if then.get(name, "none") != now[name]}


# --- finding runs ---------------------------------------------------------------------------------------------------


def list_runs(runs: Path) -> list[RunFolder]:
    """All readable runs under `runs`, oldest first. Unreadable ones are logged and left out; half-made ones ignored."""
    if not runs.is_dir():
        return []
    found = []
    for path in runs.iterdir():
        if not (path / "run.json").is_file():
            continue
        try:
            found.append(RunFolder.open(path))
        except RunError as error:
            log.warning("skipping %s: %s", path, error.message)
    return sorted(found, key=lambda run: (run.info.created, run.id))


def latest_run(runs: Path) -> RunFolder:
    """Raises: RunError: there is none."""
    found = list_runs(runs)
    if not found:
        raise RunError(f"there is no run in {runs}", hint='start one: rewardsmith design ENV "WORDS"')
    return found[-1]


def find_run(name: str, runs: Path) -> RunFolder:
    """A run by path, by id, or `latest`.

    Raises: RunError: nothing of that name; the known ids are listed.
    """
    if name == LATEST:
        return latest_run(runs)
    if ID_PATTERN.fullmatch(name) and (runs / name).is_dir():
        return RunFolder.open(runs / name)
    if Path(name).is_dir():
        return RunFolder.open(Path(name))
    raise RunError(unknown("run", name, [run.id for run in list_runs(runs)]), hint=f"runs are looked for in {runs}")


# --- inside ---------------------------------------------------------------------------------------------------------


def slug(env: str) -> str:
    """A readable part of an id from an environment's name: `ALE/Pong-v5` -> `ale-pong-v5`."""
    return re.sub(r"[^a-z0-9]+", "-", env.rsplit(":", 1)[-1].lower()).strip("-")[:40] or "run"


def installed_versions() -> dict[str, str]:
    """Versions that a run's figures depend on; packages that are not installed are `none`."""
    found = {"python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def _claim(runs: Path, name: str) -> Path:
    """Makes and returns the first free `runs/<name>-<number>`; mkdir is the race's referee."""
    taken = [path.name.removeprefix(f"{name}-") for path in runs.glob(f"{name}-*")]
    number = max((int(text) for text in taken if text.isdecimal()), default=0) + 1
    while True:
        root = runs / f"{name}-{number:03d}"
        try:
            root.mkdir()
        except FileExistsError:
            number += 1
        except OSError as error:
            raise write_error(root, error) from error
        else:
            return root


def _make_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    return path


def _damaged(path: Path, error: ValidationError) -> RunError:
    where = ".".join(str(part) for part in error.errors()[0]["loc"])
    return RunError(
        f"{path} is damaged: {where}: {error.errors()[0]['msg']}",
        hint="restore the file from a copy, or start a new run",
    )
