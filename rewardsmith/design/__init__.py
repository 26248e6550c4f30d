"""Designers: from a task to candidate rewards.

`ModelDesigner` asks a language model, `BuiltinDesigner` composes and mutates reward terms (no language model), and
`rewardsmith.design.goal.write_goal` turns words into a measure of success. Everything a model says is untrusted text.
"""
