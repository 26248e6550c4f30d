"""The last steps of episodes that did not succeed, as a table of numbers (what Auto MC-Reward's analyzer reads)."""

from __future__ import annotations

import torch

from rewardsmith.analyze.course import numbers, shown_name
from rewardsmith.analyze.episodes.watched import Watched

EPISODES, STEPS = 3, 10
MAX_COLUMNS = 14


def last_steps_log(watched: Watched) -> str:
    """Features and components in the last steps of some unsuccessful episodes; empty where all succeed.

    Failures come before time-outs. Columns that never change are left out, and the rest where they are too many: those
    stay that vary most from step to step.
    """
    unsuccessful = torch.nonzero(~watched.succeeded)[:, 0].tolist()
    chosen = sorted(unsuccessful, key=lambda e: not bool(watched.failed[e]))[:EPISODES]
    if not chosen:
        return ""
    ends = {e: watched.bank.rows(e) for e in chosen}
    rows = torch.cat([torch.arange(max(r.start, r.stop - STEPS), r.stop) for r in ends.values()])
    columns = _columns(watched, rows)
    parts = []
    for episode, span in ends.items():
        at = torch.arange(max(span.start, span.stop - STEPS), span.stop)
        ended = "was ended by the environment" if watched.failed[episode] else "ran out of time"
        cells = [watched.bank.t[at].tolist(), *(numbers(values[at].tolist()) for values in columns.values())]
        lines = [" | ".join(map(str, row)) for row in zip(*cells, strict=True)]
        parts.append("\n".join([f"An episode of {span.stop - span.start} steps that {ended}:", _head(columns), *lines]))
    return "\n\n".join(parts)


def _head(columns: dict[str, torch.Tensor]) -> str:
    return " | ".join(["step", *columns])


def _columns(watched: Watched, rows: torch.Tensor) -> dict[str, torch.Tensor]:
    """Named series over all steps (M,): features that vary within `rows`, then what the components paid."""
    seen = watched.states[rows]
    spread = ((seen.amax(0) - seen.amin(0)) / watched.scale).tolist() if seen.shape[1] else []
    ranked = sorted((i for i in range(len(spread)) if spread[i] > 1e-6), key=lambda i: -spread[i])
    shown = sorted(ranked[:MAX_COLUMNS])
    features = {watched.columns.names[i]: watched.states[:, i] for i in shown}
    return features | {f"pay of {shown_name(name)}": value.double() for name, value in watched.components.items()}
