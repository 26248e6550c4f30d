"""A language model's summary of what the analyzer computed (Auto MC-Reward's analyzer, arXiv 2312.09238).

It reads facts and the last steps of failed episodes, and says in a few sentences why the policy fails. What it says is
an opinion: it reaches the designer marked as such, beside the facts.
"""

from __future__ import annotations

from rewardsmith.design.designer import EnvironmentCard
from rewardsmith.design.prompts import PromptLibrary, action_row, feature_rows
from rewardsmith.design.text import clean_line, clean_text
from rewardsmith.llm.messages import ChatModel, Message
from rewardsmith.types import Task

LONGEST = 2000  # characters


class Analyst:
    """Asks `model` why a policy fails."""

    def __init__(self, model: ChatModel, prompts: PromptLibrary | None = None) -> None:
        self.model = model
        self.prompts = prompts or PromptLibrary()

    def sum_up(self, card: EnvironmentCard, task: Task, *, candidate: str, facts: str, log: str, round: int) -> str:
        """A few sentences, untrusted. Raises: ModelServerError: the model cannot be reached."""
        reply = self.model.complete(
            self.messages(card, task, facts=facts, log=log), step=f"round-{round}/summary/{candidate}", sample=0
        )
        return clean_text(reply.text, limit=LONGEST).strip()

    def messages(self, card: EnvironmentCard, task: Task, *, facts: str, log: str) -> list[Message]:
        prompt = self.prompts.render(
            "common/analyst.md.j2",
            name=card.name,
            about=card.about,
            words=clean_line(task.words, limit=4000),
            features=feature_rows(card.interface.features),
            action=action_row(card.interface.action),
            facts=clean_text(facts),
            log=clean_text(log),
        )
        return [Message(role="user", content=prompt)]
