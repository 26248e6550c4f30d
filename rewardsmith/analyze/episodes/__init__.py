"""The trajectory analyzer (Auto MC-Reward, arXiv 2312.09238): what the episodes of trained policies were really like.

It reads recorded episodes, what the reward's components paid in them, and the clean metric; all of it on the trusted
side. `look` gives the facts as a record (for files and plots), `describe` the same as a short text (for the designer).
"""

from rewardsmith.analyze.episodes.facts import EpisodeFacts
from rewardsmith.analyze.episodes.look import look
from rewardsmith.analyze.episodes.watched import Watched
from rewardsmith.analyze.episodes.words import describe

__all__ = ["EpisodeFacts", "Watched", "describe", "look"]
