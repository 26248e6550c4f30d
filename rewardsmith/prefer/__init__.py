"""Preferences: which of two items is better, and rewards learned from such judgements.

`hierarchy.py` makes them from signals ranked by importance (HERON), without a scale for any of them.
"""
