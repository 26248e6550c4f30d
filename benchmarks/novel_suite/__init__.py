"""Behaviours that no published reward asks for: what a person says, and hidden metrics of what the person means.

`suite` lists them, `metrics/` judges them (never seen by a designer), `agreement` measures finished runs by them.
"""
