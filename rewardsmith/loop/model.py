"""The run's own model: asks the budget first, commits every reply to the journal before anybody reads it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from rewardsmith.budget import Budget
from rewardsmith.config import ModelConfig
from rewardsmith.llm import ChatModel, Completion, Message
from rewardsmith.store import Journal

CHARS_PER_TOKEN = 3  # a cautious estimate, used only to ask the budget before the true count is known


class JournaledModel:
    """Wraps a `ChatModel` so that a resumed run repeats no call, and no call exceeds the budget."""

    def __init__(self, inner: ChatModel, journal: Journal, budget: Budget, config: ModelConfig) -> None:
        self.name = inner.name
        self.concurrency = getattr(inner, "concurrency", 1)
        self.announce = getattr(inner, "announce", None)
        self._inner, self._journal, self._budget, self._config = inner, journal, budget, config
        self._accounting = threading.Lock()

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
        def ask() -> dict:
            prompt = sum(len(m.content) for m in messages) // CHARS_PER_TOKEN
            with self._accounting:
                self._budget.require(
                    tokens=prompt + self._config.max_tokens, usd=self._price(prompt, self._config.max_tokens)
                )
            reply = self._inner.complete(
                messages,
                step=step,
                sample=sample,
                schema=schema,
                logprobs=logprobs,
                temperature=self._config.temperature if temperature is None else temperature,
                max_tokens=max_tokens or self._config.max_tokens,
            )
            return reply.model_dump(mode="json")

        reply = Completion.model_validate(self._journal.once(f"llm/{step}/{sample}", ask))
        prompt, written = reply.usage.prompt_tokens, reply.usage.completion_tokens
        with self._accounting:
            self._budget.spend(tokens=prompt + written, usd=self._price(prompt, written), calls=1)
        return reply

    def _price(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Dollars, by the person's own prices; 0 where none were given."""
        if self._config.usd_per_million is None:
            return 0.0
        prompt, completion = self._config.usd_per_million
        return (prompt_tokens * prompt + completion_tokens * completion) / 1e6
