"""Which run folders this user made: each carries a keyed hash of its `run.json`, and only this user has the key."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from pathlib import Path

from rewardsmith.errors import RunError
from rewardsmith.store.inside import read_inside

ORIGIN = "origin"  # beside run.json
KEY_BYTES = 32

log = logging.getLogger(__name__)


def origin_of(run_json: bytes) -> str | None:
    """The mark of a new run; None (with a warning) where this user's key can be neither read nor made."""
    key = _read_key() or _make_key()
    return None if key is None else hmac.new(key, run_json, hashlib.sha256).hexdigest()


def made_here(root: Path) -> bool:
    """Whether this user made the run in `root`, and nobody has changed its `run.json` since."""
    key = _read_key()
    if key is None:
        return False
    try:
        claimed = read_inside(root, root / ORIGIN, max_bytes=1000)
        run_json = read_inside(root, root / "run.json")
    except RunError:
        return False
    return hmac.compare_digest(claimed.strip(), hmac.new(key, run_json, hashlib.sha256).hexdigest().encode())


def key_path() -> Path:
    """Where the key lies: in the user's state folder (XDG base directories), readable by nobody else."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "state") / "rewardsmith" / "key"


def _read_key() -> bytes | None:
    try:
        key = key_path().read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: no home
        return None
    return key if len(key) == KEY_BYTES else None


def _make_key() -> bytes | None:
    """A new key, or the one that another process made meanwhile."""
    try:
        path = key_path()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_name(f".key.{os.getpid()}.{secrets.token_hex(4)}")
        beside.touch(mode=0o600, exist_ok=False)
        beside.write_bytes(secrets.token_bytes(KEY_BYTES))
        try:
            path.hardlink_to(beside)  # unlike a rename it never replaces a key
        except FileExistsError:
            pass
        finally:
            beside.unlink()
    except (OSError, RuntimeError) as error:
        log.warning("cannot keep a key in your home folder (%s): resuming this run will need --trust", error)
        return None
    return _read_key()
