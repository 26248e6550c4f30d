"""Rewards for other people's projects: a folder with the graph, a small interpreter, feature code and wrappers.

The folder needs no rewardsmith. `files/` holds the modules that are copied into it; they are not part of this package.
"""

from rewardsmith.export.folder import export_reward

__all__ = ["export_reward"]
