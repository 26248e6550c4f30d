"""Recorded replies: a JSON-lines file with one line per (step, sample), to replay a run without any model."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from rewardsmith.errors import ModelServerError, UsageError
from rewardsmith.llm.messages import ChatModel, Completion, Message, prompt_digest
from rewardsmith.store import read_text_file
from rewardsmith.store.atomic import write_error
from rewardsmith.types import Record

LARGEST_CASSETTE_BYTES = 256_000_000

log = logging.getLogger(__name__)


class Take(Record):
    """One line of a cassette. `prompt` is the digest of the messages that were answered."""

    step: str
    sample: int
    prompt: str
    completion: Completion


def read_cassette(path: Path) -> dict[tuple[str, int], Take]:
    """All takes by (step, sample); the last one wins. A torn last line (the recorder was killed) is dropped.

    Raises: UsageError: no such text file, or a damaged line before the last.
    """
    hint = "give the path of a cassette: replay:FILE"
    lines = read_text_file(path, max_bytes=LARGEST_CASSETTE_BYTES, hint=hint).rstrip().split("\n")
    takes: dict[tuple[str, int], Take] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            take = Take.model_validate_json(line)
        except ValidationError as e:
            if number == len(lines):
                log.warning("cassette %s: the last line is incomplete and was left out", path)
                break
            problem = e.errors()[0]["msg"]
            raise UsageError(
                f"line {number} of the cassette {path} is damaged: {problem}",
                hint="remove the line, or record the run again",
            ) from e
        takes[take.step, take.sample] = take
    return takes


class ReplayModel:
    """Answers from a cassette. A prompt that drifted from the recorded one is a warning, with `strict` an error."""

    concurrency = 1

    def __init__(self, path: Path, *, strict: bool = False) -> None:
        self.path, self.strict = path, strict
        self.name = f"replay:{path.name}"
        self._takes = read_cassette(path)
        self._drifted = False

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
        """The recorded reply. Raises: ModelServerError: there is none, or the prompt drifted and `strict` is set."""
        take = self._takes.get((step, sample))
        if take is None:
            recorded = sorted(s for t, s in self._takes if t == step)
            steps = ", ".join(sorted({t for t, _ in self._takes})) or "nothing"
            known = f"samples {recorded} of it" if recorded else f"only {steps}"
            raise ModelServerError(
                f"the cassette {self.path} has no reply for {step}, sample {sample}; it holds {known}",
                hint="replay with the recorded number of rounds and samples, or record again",
            )
        if take.prompt != prompt_digest(messages):
            drift = f"the prompt of {step}, sample {sample} differs from the one recorded in {self.path}"
            if self.strict:
                raise ModelServerError(drift, hint="record again, or replay without --strict")
            if not self._drifted:
                log.warning("%s; recorded replies are used, here and wherever it happens again", drift)
            self._drifted = True
        return take.completion


class RecordingModel:
    """Wraps a model and appends every reply to a cassette, on disk before it is used. Safe from several threads."""

    def __init__(self, model: ChatModel, path: Path) -> None:
        self.model, self.path = model, path
        self._lock = threading.Lock()
        try:
            if path.exists() and not path.is_file():
                raise UsageError(f"the cassette {path} is not a regular file", hint="name another file")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            _mend_last_line(path)
        except (OSError, ValueError) as e:  # ValueError: a name with a null byte
            raise UsageError(f"cannot write the cassette {path}: {e}", hint="name another file") from e

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def concurrency(self) -> int:
        return getattr(self.model, "concurrency", 1)

    def announce(
        self, messages: Sequence[Message], *, step: str, sample: int, schema: Mapping[str, object] | None = None
    ) -> None:
        """Passed on to models that can prepare for a request (the desk)."""
        if (announce := getattr(self.model, "announce", None)) is not None:
            announce(messages, step=step, sample=sample, schema=schema)

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
        """The wrapped model's reply, recorded.

        Raises: ModelServerError: from the wrapped model; nothing is recorded then. RunError: the disk is full.
        """
        completion = self.model.complete(
            messages,
            step=step,
            sample=sample,
            schema=schema,
            logprobs=logprobs,
            temperature=temperature,
            max_tokens=max_tokens,
        )
        take = Take(step=step, sample=sample, prompt=prompt_digest(messages), completion=completion)
        try:
            with self._lock, self.path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(take.model_dump_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as e:
            raise write_error(self.path, e) from e
        return completion


def _mend_last_line(path: Path) -> None:
    """Cuts off a torn last line, so that the next take does not end up glued to it."""
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        keep = data[: data.rfind(b"\n") + 1]
        with path.open("r+b") as file:
            file.truncate(len(keep))
