"""Who may enter: links that work once, and signed cookies that outlive the server.

Both are kept in a private file of the run folder. A link's token stands behind the `#` of its address, which browsers
never send, so that it shows up in no log and no preview uses it up.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from rewardsmith.errors import UsageError
from rewardsmith.prefer.votes import LONGEST_NAME, is_name
from rewardsmith.store import Journal
from rewardsmith.store.atomic import write_error

FILE = "web.sqlite"  # in the run folder
COOKIE_S = 365 * 24 * 3600


class Links:
    """Safe to use from several threads and processes. Raises: RunError: the file cannot be written, or is damaged."""

    def __init__(self, run_root: Path) -> None:
        path = run_root / FILE
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise write_error(path, error) from error
        self._journal = Journal(path, create=True)
        self._key = bytes.fromhex(self._journal.once("key", lambda: secrets.token_hex(32)))
        self.cookie = f"rewardsmith_{self.sign('cookie')[:8]}"  # all ports of a host share cookies: a name for each run

    def sign(self, *parts: str) -> str:
        """A keyed hash: 32 hex digits that nobody without the run's private file can guess."""
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:32]

    # --- links

    def make(self, rater: str) -> str:
        """The token of a new link for `rater`. Raises: UsageError: it is no name."""
        if not is_name(rater):
            raise UsageError(
                f"{rater[: 2 * LONGEST_NAME]!r} is no name of a rater",
                hint=f"1 to {LONGEST_NAME} printable characters, without spaces around them",
            )
        token = secrets.token_urlsafe(16)
        self._journal.put(f"link/{_digest(token)}", {"rater": rater})
        return token

    def enter(self, token: str) -> str | None:
        """The rater whom a link is for, and the link is used up; None if it is not known or was used before."""
        known = self._journal.get(f"link/{_digest(token)}")
        if known is None:
            return None
        mine = secrets.token_hex(8)
        return known["rater"] if self._journal.once(f"used/{_digest(token)}", lambda: mine) == mine else None

    def raters(self, *, entered: bool = False) -> set[str]:
        """Those for whom there ever was a link; or only those who have used one."""
        used = {key.removeprefix("used/") for key in self._journal.keys("used/")}
        made = {record.key.removeprefix("link/"): record.payload for record in self._journal.records("link")}
        return {link["rater"] for digest, link in made.items() if digest in used or not entered}  # type: ignore[index]

    # --- cookies

    def ticket(self, rater: str) -> str:
        """The value of a rater's cookie."""
        name = base64.urlsafe_b64encode(rater.encode()).decode().rstrip("=")
        return f"{name}.{self.sign('ticket', rater)}"

    def holder(self, ticket: str) -> str | None:
        """The rater whose cookie this is; None if it is not one of ours."""
        name, _, signature = ticket.partition(".")
        try:
            rater = base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
        except (ValueError, binascii.Error):
            return None
        return rater if hmac.compare_digest(signature.encode(), self.sign("ticket", rater).encode()) else None

    def close(self) -> None:
        self._journal.close()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
