"""What differs between two rewards, in a language model's words (ICPL, arXiv 2410.17233)."""

from __future__ import annotations

from rewardsmith.design.designer import fenced
from rewardsmith.design.prompts import PromptLibrary
from rewardsmith.design.text import clean_text
from rewardsmith.llm.messages import ChatModel, Message

LONGEST = 2000  # characters


def describe_difference(
    model: ChatModel,
    earlier: tuple[str, str],
    later: tuple[str, str],
    *,
    step: str,
    prompts: PromptLibrary | None = None,
) -> str:
    """A few lines, untrusted, about two rewards (name, code). Raises: ModelServerError: the model cannot be reached."""
    reply = model.complete(difference_messages(earlier, later, prompts or PromptLibrary()), step=step, sample=0)
    return clean_text(reply.text, limit=LONGEST).strip()


def difference_messages(earlier: tuple[str, str], later: tuple[str, str], prompts: PromptLibrary) -> list[Message]:
    """The conversation. It is about code alone: how either did is not said."""
    prompt = prompts.render(
        "icpl/difference.md.j2",
        earlier=earlier[0],
        earlier_code=fenced(earlier[1]),
        later=later[0],
        later_code=fenced(later[1]),
    )
    return [Message(role="user", content=prompt)]
