"""A person or a script as the language model: requests appear in a folder, replies are pasted back into it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rewardsmith.errors import ModelServerError, UsageError
from rewardsmith.llm.messages import LARGEST_REPLY_BYTES, Completion, Message, estimate_usage, prompt_digest
from rewardsmith.store import read_text_file, write_text

log = logging.getLogger(__name__)


class DeskModel:
    """Writes `DIR/<n>.request.md` (to read or paste) and `.json` (for scripts), waits for `DIR/<n>.reply.md`.

    A request is known by (step, sample) and its text, not by its number: a resumed run finds the requests and replies
    of the interrupted one, and a folder left over from another task is never mistaken for an answer.

    Args:
        folder: made if it does not exist.
        poll_s: seconds between two looks; a reply counts once it is not blank and the same at two looks.
        limit_s: how long to wait for one reply.
        sleep, clock: injected by tests.
    """

    name = "desk"
    concurrency = 1

    def __init__(
        self,
        folder: Path,
        *,
        poll_s: float = 0.5,
        limit_s: float = 86_400.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._poll_s, self._limit_s = poll_s, limit_s
        self._sleep, self._clock = sleep, clock
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise UsageError(f"cannot make the desk folder {folder}: {e}", hint="name another with desk:DIR") from e

    def announce(
        self, messages: Sequence[Message], *, step: str, sample: int, schema: Mapping[str, object] | None = None
    ) -> int:
        """Puts a request on the desk without waiting, so that several can be answered in one sitting. Returns its n."""
        with self._lock:
            known = self._find(step, sample, prompt_digest(messages))
            return known if known is not None else self._write(messages, step, sample, schema)

    def complete(
        self,
        messages: Sequence[Message],
        *,
        step: str,
        sample: int,
        schema: Mapping[str, object] | None = None,
        logprobs: int = 0,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> Completion:
        """The pasted reply. Raises: ModelServerError: none came within the limit."""
        n = self.announce(messages, step=step, sample=sample, schema=schema)
        text = self._await(n)
        return Completion(text=text, usage=estimate_usage(messages, text), model=self.name)

    # --- the folder ------------------------------------------------------------------------------------------------

    def _numbers(self) -> list[int]:
        stems = (p.name.removesuffix(".request.json") for p in self.folder.glob("*.request.json"))
        return sorted(int(s) for s in stems if s.isascii() and s.isdigit())

    def _find(self, step: str, sample: int, digest: str) -> int | None:
        for n in self._numbers():
            try:
                path = self.folder / f"{n}.request.json"
                request = json.loads(read_text_file(path, max_bytes=LARGEST_REPLY_BYTES))
                key = (request["step"], request["sample"], request["prompt"])
            except (UsageError, ValueError, KeyError, TypeError, RecursionError):
                continue  # not ours, or half written: a new number costs nothing
            if key == (step, sample, digest):
                return n
        return None

    def _write(self, messages: Sequence[Message], step: str, sample: int, schema: Mapping[str, object] | None) -> int:
        n = max(self._numbers(), default=0) + 1
        request = {
            "n": n,
            "step": step,
            "sample": sample,
            "prompt": prompt_digest(messages),
            "reply": f"{n}.reply.md",
            "schema": schema,
            "messages": [m.model_dump() for m in messages],
        }
        write_text(self.folder / f"{n}.request.md", _page(messages, n, step, sample))
        write_text(self.folder / f"{n}.request.json", json.dumps(request, indent=1, ensure_ascii=False))
        path = self.folder / f"{n}.request.md"
        log.info("desk: answer %s (%s, sample %d) in %s", path, step, sample, self.folder / f"{n}.reply.md")
        return n

    def _await(self, n: int) -> str:
        path = self.folder / f"{n}.reply.md"
        end = self._clock() + self._limit_s
        last: str | None = None
        odd = False
        while True:
            text = _read(path)
            if path.exists() and not path.is_file() and not odd:
                log.warning("desk: %s is not a regular file; it is not read", path)
                odd = True
            if text and text == last:
                return text
            last = text
            if self._clock() >= end:
                raise ModelServerError(
                    f"no reply to desk request {self.folder / f'{n}.request.md'} within {self._limit_s:g} s",
                    hint=f"write {path} and run `rewardsmith resume`",
                )
            self._sleep(self._poll_s)


def _page(messages: Sequence[Message], n: int, step: str, sample: int) -> str:
    """The request as one page to paste into a chat window. A single exchange needs no role headings."""
    note = (
        f"<!-- rewardsmith request {n}: {step}, sample {sample}. Save the reply as {n}.reply.md beside this file. -->"
    )
    plain = [m.role for m in messages] in (["user"], ["system", "user"])
    parts = [m.content if plain else f"# {m.role}\n\n{m.content}" for m in messages]
    return "\n\n".join([note, *parts]) + "\n"


def _read(path: Path) -> str:
    """Text of a reply file, as much as a reply may have; empty while it is missing, unreadable or blank."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return ""
        with path.open("rb") as file:
            text = file.read(LARGEST_REPLY_BYTES).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""
    return text if text.strip() else ""
