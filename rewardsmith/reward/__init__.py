"""Rewards as data: the static gate, the jailed trace, the graph and its loader, the program that runs it, the toolkit.

Model-written code becomes a `RewardGraph` (pure tensor operations, JSON) inside the jail; everything else here runs
only such graphs. Start with `compile.py`; `gate.py` needs no torch.
"""
