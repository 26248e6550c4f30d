"""From what the person typed after `--llm` to a model that answers."""

from __future__ import annotations

import os
from pathlib import Path

from rewardsmith.errors import UsageError
from rewardsmith.llm.cassette import RecordingModel, ReplayModel
from rewardsmith.llm.desk import DeskModel
from rewardsmith.llm.messages import ChatModel
from rewardsmith.llm.openai_model import OpenAIModel
from rewardsmith.llm.retry import RetryPolicy

MODEL_VARIABLE = "REWARDSMITH_MODEL"


def default_spec() -> str | None:
    """The model to use when none was named: `REWARDSMITH_MODEL`, or None (then `builtin` designs)."""
    return os.environ.get(MODEL_VARIABLE, "").strip() or None


def open_model(
    spec: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    timeout_s: float = 600.0,
    retry: RetryPolicy | None = None,
    seed: int | None = None,
    concurrency: int = 4,
    strict: bool = False,
    desk_folder: Path = Path("desk"),
    record: Path | None = None,
) -> ChatModel:
    """Opens `desk[:DIR]`, `replay:FILE`, or a model by name at an OpenAI-compatible server ("qwen2.5-coder:1.5b").

    Args:
        desk_folder: where a bare `desk` puts its requests.
        record: also append every reply to this cassette.

    Raises: UsageError: the spec is empty or names no language model, a file is missing, or there is no API key.
    """
    kind, _, rest = spec.partition(":")
    model: ChatModel
    if not spec.strip():
        raise UsageError("no language model was named", hint="--llm NAME, desk[:DIR], replay:FILE or builtin")
    if spec == "builtin":
        raise UsageError(
            "`builtin` is not a language model and cannot answer prompts",
            hint="name a model with --llm, or answer yourself with --llm desk",
        )
    if kind == "desk":
        model = DeskModel(Path(rest).expanduser() if rest else desk_folder)
    elif kind == "replay":
        if not rest:
            raise UsageError("`replay` needs a file", hint="--llm replay:FILE")
        model = ReplayModel(Path(rest).expanduser(), strict=strict)
    else:
        model = OpenAIModel(
            spec,
            base_url=base_url,
            api_key=api_key,
            timeout_s=timeout_s,
            retry=retry,
            seed=seed,
            concurrency=concurrency,
        )
    return RecordingModel(model, record) if record is not None else model
