"""A reward under the microscope: what `rewardsmith inspect` shows, as one offline page.

`inspect_reward` finds the reward (`subject.py`), plays and pays episodes (`episodes.py`), evaluates the reward over
pairs of features (`slices.py`), compares it with another one (`changes.py`), and writes the page (`page.py`).
"""

from rewardsmith.loop.inspecting.inspection import Inspection, inspect_reward

__all__ = ["Inspection", "inspect_reward"]
