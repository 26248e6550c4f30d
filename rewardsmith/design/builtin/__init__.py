"""The built-in designer: composes and mutates reward terms. It is not a language model and does not understand words.

It needs a measure of success (a pack's task, `--metric`, rankings, or the native return), is the default where no
model is set, and is the baseline that every language model has to beat.
"""

from rewardsmith.design.builtin.designer import BuiltinDesigner
from rewardsmith.design.builtin.screen import Evidence, screen_terms

__all__ = ["BuiltinDesigner", "Evidence", "screen_terms"]
