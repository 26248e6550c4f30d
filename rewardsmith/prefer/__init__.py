"""Preferences: which of two items is better, and rewards learned from such judgements.

`ballots.py` holds what raters said, `votes.py` keeps it, `asking.py` chooses what a rater is asked, `utilities.py` says
how good each item is by their choices, `groups.py` knows raters who disagree (PAL), `simulated.py` raters for tests and
benchmarks; `hierarchy.py` makes judgements from signals ranked by importance (HERON), `learned.py` rewards from
comparisons of segments (PrefPPO).
"""
