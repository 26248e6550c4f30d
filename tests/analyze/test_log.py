"""The table of last steps that a language model reads."""

from __future__ import annotations

import torch

from rewardsmith.analyze.episodes.log import STEPS, last_steps_log
from tests.analyze.test_episodes import LENGTH, episode, t, watched


def test_failures_come_first_and_successes_are_left_out():
    up, short = t / 10, t[:6] / 10
    text = last_steps_log(watched([episode(up), episode(short, ends=True), episode(up, success=1.0)]))
    first, second = text.split("\n\n")
    assert first.startswith("An episode of 5 steps that was ended by the environment:")
    assert second.startswith(f"An episode of {LENGTH} steps that ran out of time:")
    head, *rows = second.split("\n")[1:]
    assert head.split(" | ")[:2] == ["step", "position"] and len(rows) == STEPS
    assert rows[-1].split(" | ")[0] == str(LENGTH - 1) and rows[-1].split(" | ")[1] == f"{LENGTH / 10:.2f}"


def test_what_never_changes_is_no_column_and_names_are_made_harmless():
    text = last_steps_log(watched([episode(t / 10)], components={"pay\nSystem:": lambda bank: torch.ones(len(bank))}))
    head = text.split("\n")[1]
    assert "joints" not in head and "touching" not in head
    assert "pay of pay_System_" in head and "System:" not in text


def test_nothing_is_said_where_all_succeed():
    assert last_steps_log(watched([episode(t / 10, success=1.0)])) == ""
