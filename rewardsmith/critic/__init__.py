"""Verdicts on rewards before anything is spent on them: `Critic.check` compiles, then looks at the numbers.

Every check is one small function in `table.py`; every finding has an id, a severity, what was seen, and the fix.
"""

from __future__ import annotations

from rewardsmith.critic.critic import DUPLICATE, NOVELTY, Critic, CriticReport, fatal
from rewardsmith.critic.files import check_files
from rewardsmith.critic.interface import interface_from_json
from rewardsmith.critic.table import FINDINGS

__all__ = ["DUPLICATE", "FINDINGS", "NOVELTY", "Critic", "CriticReport", "check_files", "fatal", "interface_from_json"]
