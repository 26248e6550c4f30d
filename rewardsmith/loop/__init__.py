"""The design loop: who proposes rewards, what is trained, what is fed back, and the record that makes it resumable.

`methods/` reads like the papers' pseudocode, `steps.py` is what methods are built from, `driver.py` runs them.
"""
