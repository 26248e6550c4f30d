"""Chat models: OpenAI-compatible servers, a desk for people and scripts, and cassettes.

One protocol (`ChatModel.complete`), one way in (`open_model`). A reply that came is data, however poor it is;
no reply is a `ModelServerError`.
"""

from rewardsmith.llm.cassette import RecordingModel, ReplayModel, read_cassette
from rewardsmith.llm.desk import DeskModel
from rewardsmith.llm.many import complete_many
from rewardsmith.llm.messages import ChatModel, Completion, Message, Prices, Usage, estimate_tokens, prompt_digest
from rewardsmith.llm.openai_model import OpenAIModel
from rewardsmith.llm.opening import default_spec, open_model
from rewardsmith.llm.retry import RetryPolicy

__all__ = [
    "ChatModel",
    "Completion",
    "DeskModel",
    "Message",
    "OpenAIModel",
    "Prices",
    "RecordingModel",
    "ReplayModel",
    "RetryPolicy",
    "Usage",
    "complete_many",
    "default_spec",
    "estimate_tokens",
    "open_model",
    "prompt_digest",
    "read_cassette",
]
