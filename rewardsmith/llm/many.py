"""Several samples of one step at once, in the order of their sample numbers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence

from rewardsmith.llm.messages import ChatModel, Completion, Message


def complete_many(
    model: ChatModel,
    prompts: Mapping[int, Sequence[Message]],
    *,
    step: str,
    temperature: float | None = None,
    max_tokens: int | None = None,
) -> dict[int, Completion]:
    """Replies to `prompts` (sample -> messages), by sample, with at most `model.concurrency` requests in flight.

    A model without that attribute is asked one request at a time, from the calling thread. The threads are daemons,
    so Ctrl-C ends the process although a request still hangs.

    Raises: ModelServerError: of the lowest sample that failed; no new request is sent after a failure.
    """
    announce = getattr(model, "announce", None)
    if announce is not None:
        for sample, messages in prompts.items():
            announce(messages, step=step, sample=sample)

    def ask(sample: int) -> Completion:
        return model.complete(prompts[sample], step=step, sample=sample, temperature=temperature, max_tokens=max_tokens)

    workers = min(len(prompts), getattr(model, "concurrency", 1))
    if workers <= 1:
        return {sample: ask(sample) for sample in prompts}

    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for sample in prompts:
        waiting.put(sample)
    done: dict[int, Completion] = {}
    failed: dict[int, BaseException] = {}

    def work() -> None:
        while not failed:
            try:
                sample = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done[sample] = ask(sample)
            except BaseException as e:  # carried to the calling thread below
                failed[sample] = e

    threads = [threading.Thread(target=work, daemon=True, name=f"ask-{i}") for i in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)  # a bounded join lets Ctrl-C through
    if failed:
        raise failed[min(failed)]
    return {sample: done[sample] for sample in prompts}
