"""What came out of training: reflection and observations for the next prompt, films and the report for people.

Nothing here can change a result: it reads records and recordings, and writes text, HTML and video.
"""

from rewardsmith.analyze.feedback import build_feedback
from rewardsmith.analyze.reflection import reflect

__all__ = ["build_feedback", "reflect"]
