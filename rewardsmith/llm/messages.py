"""What is said to a language model and what comes back: messages, completions, usage, prices, and the one protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator, Field, FiniteFloat

from rewardsmith.types import Record, content_id

Role = Literal["system", "user", "assistant"]
CHARACTERS_PER_TOKEN = 4  # used only where a server reports no usage, and marked as an estimate
LARGEST_REPLY_BYTES = 16_000_000


def without_surrogates(text: str) -> str:
    """`text` with `?` for halves of surrogate pairs, which JSON may carry and no file can hold."""
    return text.encode(errors="replace").decode()


Text = Annotated[str, AfterValidator(without_surrogates)]
"""Text from outside that can be written to a file."""


class Message(Record):
    role: Role
    content: str


class Usage(Record):
    """Tokens of one request. `estimated` is true where the server did not report them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False

    @property
    def total(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class TokenLogprob(Record):
    """One generated token: its log probability, and the most likely tokens at its place."""

    token: Text
    logprob: FiniteFloat
    top: dict[Text, FiniteFloat] = Field(default_factory=dict)


class Completion(Record):
    """One reply. `text` is untrusted. `finish` is "stop", "length" (cut off), or the server's own word for it."""

    text: Text
    finish: Text = "stop"
    usage: Usage = Usage()
    model: Text = ""
    logprobs: tuple[TokenLogprob, ...] | None = None

    @property
    def truncated(self) -> bool:
        return self.finish == "length"


class Prices(Record):
    """Dollars per million tokens, as the person gave them; there are no built-in prices."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)

    def usd(self, usage: Usage) -> float:
        return (usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion) / 1e6


class ChatModel(Protocol):
    """A model that answers messages. (`step`, `sample`) names the request for good: "round-1/propose", 3."""

    @property
    def name(self) -> str: ...

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
        """One reply, possibly empty or cut off. Raises: ModelServerError: no reply could be had."""
        ...


def prompt_digest(messages: Sequence[Message]) -> str:
    """Short content hash of a conversation; two prompts with the same digest are the same prompt."""
    return content_id([[m.role, m.content] for m in messages])


def estimate_tokens(text: str) -> int:
    """A rough token count, for budgets and previews where no server has counted."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def estimate_usage(messages: Sequence[Message], reply: str) -> Usage:
    return Usage(
        prompt_tokens=sum(estimate_tokens(m.content) for m in messages),
        completion_tokens=estimate_tokens(reply),
        estimated=True,
    )
