"""The journal of a run: every model reply, verdict, vote and result, committed before anything uses it.

One sqlite table of (key, payload). Keys are unique and never reused; the part before the first `/` is the record's kind
(`reply/round-1/propose/0` is of kind `reply`). Payloads are JSON, and what `once` returns has always been through JSON,
so that a resumed run sees the very same values as an undisturbed one.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rewardsmith.errors import RunError
from rewardsmith.store.atomic import FREE_SPACE
from rewardsmith.store.filesystem import is_local

BUSY_TIMEOUT_S = 30.0
MISSING = object()
MAX_DIGITS = 100


class JournalRecord(NamedTuple):
    """One committed record. `at` is seconds since the epoch, for people only; nothing may depend on it."""

    key: str
    payload: object
    at: float


# --- schema: append migrations, never edit one that was shipped -----------------------------------------------------

MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = []


def migration(function: Callable[[sqlite3.Connection], None]) -> Callable[[sqlite3.Connection], None]:
    MIGRATIONS.append(function)
    return function


@migration
def m001_records(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE records"
        " (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, payload TEXT NOT NULL, at REAL NOT NULL)"
    )


# --- the journal -----------------------------------------------------------------------------------------------------


class Journal:
    """Open with `Journal(path, create=True)` for a new run. Safe to use from several threads; a context manager.

    Raises: RunError: the file is missing (without `create`), damaged, locked, or written by a newer version.
    """

    def __init__(self, path: Path, *, create: bool = False, read_only: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._making: dict[str, threading.Lock] = {}
        if not create and not path.is_file():
            raise RunError(f"there is no journal at {path}", hint="check the path; a run folder holds journal.sqlite")
        with self._errors():
            # autocommit: transactions are opened explicitly where more than one statement belongs together
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc' if create else 'rw'}",
                uri=True,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            self._prepare(create=create, read_only=read_only)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, *, create: bool, read_only: bool) -> None:
        with self._errors():
            if not read_only:
                mode = "WAL" if is_local(self.path.parent) else "DELETE"
                self._db.execute(f"PRAGMA journal_mode = {mode}")
                self._db.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut, not only a kill
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version <= len(MIGRATIONS) and _schema(self._db) != _schema_of(version):
                raise self.damaged("its tables are not those of a journal")  # a view could be endless
            if self._db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise self.damaged("its pages are inconsistent")
        if version > len(MIGRATIONS):
            raise RunError(
                f"{self.path} was written by a newer rewardsmith (schema {version}, this one knows {len(MIGRATIONS)})",
                hint="update rewardsmith: pip install -U rewardsmith",
            )
        if version < 1 and not create:
            raise self.damaged("it holds no records table")
        if not read_only:
            self._migrate()

    def _migrate(self) -> None:
        with self._errors(), self._transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
                step(self._db)
                self._db.execute(f"PRAGMA user_version = {number}")

    # --- records

    def once(self, key: str, make: Callable[[], object]) -> Any:
        """The payload of `key`; if there is none, `make()` is called and its result committed before it is returned.

        `make` runs outside any transaction, so it may take minutes and other threads may write meanwhile.
        """
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            payload = self.get(key, MISSING)
            if payload is MISSING:
                payload = json.loads(self._insert(key, _dump(key, make())))
        return payload

    def get(self, key: str, default: object = None) -> Any:
        """The payload of `key`, or `default`."""
        with self._lock, self._errors():
            row = self._db.execute("SELECT payload FROM records WHERE key = ?", (key,)).fetchone()
        return default if row is None else self._parsed(key, row[0])

    def put(self, key: str, payload: object) -> None:
        """Commits a record. Putting the same payload again changes nothing.

        Raises: RunError: `key` already has another payload; records are facts and are never rewritten.
        """
        text = _dump(key, payload)
        if self._insert(key, text) != text:
            raise RunError(
                f"the journal {self.path} already holds another record for {key!r}",
                hint="two processes may be writing the same run; resume it from one only",
            )

    def keys(self, prefix: str = "") -> list[str]:
        """Keys that start with `prefix`, in the order they were committed."""
        return [key for key, _, _ in self._select(prefix)]

    def records(self, kind: str) -> list[JournalRecord]:
        """All records of a kind (the part of the key before the first `/`), in the order they were committed."""
        rows = [row for row in self._select(kind) if row[0].split("/", 1)[0] == kind]
        return [JournalRecord(key, self._parsed(key, payload), at) for key, payload, at in rows]

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- inside

    def _insert(self, key: str, text: str) -> str:
        """Commits unless `key` exists, and returns the JSON stored under it afterwards."""
        if not key:
            raise ValueError("a journal key must not be empty")
        with self._lock, self._errors():
            self._db.execute(
                "INSERT INTO records (key, payload, at) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING",
                (key, text, time.time()),
            )
            return self._db.execute("SELECT payload FROM records WHERE key = ?", (key,)).fetchone()[0]

    def _select(self, prefix: str) -> list[tuple[str, str, float]]:
        """(key, JSON, at) of every record whose key starts with `prefix`."""
        with self._lock, self._errors():
            rows = self._db.execute(
                "SELECT key, payload, at FROM records WHERE substr(key, 1, ?) = ? ORDER BY seq", (len(prefix), prefix)
            ).fetchall()
        if not all(isinstance(key, str) for key, _, _ in rows):
            raise self.damaged("a key is not text")
        return rows

    def _parsed(self, key: str, payload: object) -> Any:
        if not isinstance(payload, str):
            raise self.damaged(f"the record {key!r} is not text")
        try:
            return json.loads(payload, parse_int=_whole)
        except (ValueError, RecursionError) as error:
            raise self.damaged(f"the record {key!r} is not JSON ({error})") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns sqlite's errors into ones that name the file and the fix."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith("SQLITE_FULL"):
                raise RunError(f"the disk is full: could not write {self.path}", hint=FREE_SPACE) from error
            if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")):
                raise RunError(
                    f"the journal {self.path} is locked by another process",
                    hint="end the other rewardsmith process that uses this run, then resume",
                ) from error
            if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR")):
                raise RunError(
                    f"cannot open or write the journal {self.path}: {error}",
                    hint="check the disk and the permissions of the run folder",
                ) from error
            if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or isinstance(error, sqlite3.DatabaseError):
                raise self.damaged(str(error)) from error
            raise

    def damaged(self, why: str) -> RunError:
        """The error for a journal that holds what no journal holds."""
        return RunError(
            f"the journal {self.path} is damaged: {why}",
            hint=f"restore the run folder from a copy, or save what can be read with "
            f"`sqlite3 {self.path.name} .recover`; a new run does not need it",
        )


def _schema(db: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Everything that is defined in a database. sqlite's own tables and indexes follow from it."""
    return set(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"))


def _schema_of(version: int) -> set[tuple[str, ...]]:
    """What the migrations up to `version` define."""
    with closing(sqlite3.connect(":memory:")) as db:
        for step in MIGRATIONS[:version]:
            step(db)
        return _schema(db)


def _whole(text: str) -> int:
    """Raises: ValueError: a number too large for anything that is counted, and for a float."""
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits")
    return int(text)


def _dump(key: str, payload: object) -> str:
    """JSON text of a payload. Raises: TypeError: it is not JSON-able (a mistake of the caller)."""
    try:
        return json.dumps(payload, ensure_ascii=True, separators=(",", ":"))
    except TypeError as error:
        raise TypeError(f"the record {key!r} is not JSON: {error}") from error
