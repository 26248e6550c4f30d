"""Verdicts on rewards before anything is spent on them: `critic.Critic.check` compiles, then looks at the numbers.

Every check is one small function in `table.py`; every finding has an id, a severity, what was seen, and the fix.
"""
