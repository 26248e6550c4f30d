"""Checks that any transitions are enough for: are these numbers, and is there anything to learn from them?"""

from __future__ import annotations

import torch
from torch import Tensor

from rewardsmith.critic.evidence import EvaluationFailed, Evidence, Inconclusive, Values, evaluate_rows
from rewardsmith.critic.findings import check
from rewardsmith.critic.sample import Sample

ABSURD = 1e7  # beyond it float32 cannot tell neighbouring whole numbers apart
EDGE_NAMES = ("all features at zero", "all at their low bound", "all at their high bound", "from all low to all high")
DROWNED = 0.95
TOLERANCE = 1e-3  # kernels round differently for other batch sizes; a reward that mixes rows differs far more
NAMES_SHOWN = 6
SIGN_ONLY = (-1.1, -1.0, -0.9, -0.1, 0.0, 0.1, 0.9, 1.0, 1.1)  # values of toolkit.sign_only
MIN_ENDS = 3  # fewer terminal or time-limit steps than this say nothing


def quoted(names: list[str]) -> str:
    """Names for a message: quoted, shortened, and not more than a handful."""
    shown = ", ".join(repr(name[:60]) for name in names[:NAMES_SHOWN])
    return shown + (f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "")


# --- values ----------------------------------------------------------------------------------------------------------


@check(
    "values.crash",
    "refuse",
    title="The reward fails on real transitions",
    why="It was traced without values; on these values an operation fails (an index out of range, for example).",
    fix="Make every operation work for any value within the features' ranges; clamp an index before using it.",
)
def crash(evidence: Evidence) -> str | None:
    try:
        _ = evidence.values
    except EvaluationFailed as error:
        return f"evaluating the reward on {len(evidence.sample):,} {evidence.kind} transitions failed: {error}"
    return None


@check(
    "values.shape",
    "refuse",
    title="The total or a component has the wrong shape or dtype",
    why="Every row of the batch gets exactly one float32 number.",
    fix="Return tensors of shape (N,): index or sum over the feature dimension, as in x[:, 0] or x.sum(dim=1).",
)
def shape(evidence: Evidence) -> str | None:
    count = len(evidence.sample)
    for name, value in evidence.values.parts.items():
        if tuple(value.shape) != (count,):
            found = tuple("N" if size == count else size for size in value.shape)
            return f"{name} has shape {found} instead of (N,)".replace("'N'", "N")
        if value.dtype != torch.float32:
            return f"{name} is {value.dtype} instead of torch.float32"
    return None


@check(
    "values.sizes",
    "refuse",
    title="The reward has sizes of its own",
    why="This run lets rewards decide signs only (--sign-only): the sizes of milestones and of steps are fixed.",
    fix="End with `return sign_only(dense, sparse), {...}`; `sparse` is not zero at milestones and failures alone.",
)
def sizes(evidence: Evidence) -> str | None:
    if not evidence.sign_only:
        return None
    total = evidence.values.total.nan_to_num()
    off = (total[:, None] - torch.tensor(SIGN_ONLY)).abs().amin(1)
    if float(off.max()) <= 1e-6:
        return None
    return (
        f"the total is {float(total[off.argmax()]):.4g} in a transition; only {', '.join(map(str, SIGN_ONLY))} can be"
    )


@check(
    "values.nonfinite",
    "refuse",
    title="NaN or infinity",
    why="One such number destroys the policy being trained.",
    fix="Guard divisions, logarithms, square roots and exponentials: torch.clamp the argument, or add a small constant "
    "to the denominator. If the values cannot occur, declare low and high for the feature.",
)
def nonfinite(evidence: Evidence) -> str | None:
    sample = evidence.sample
    for name, value in reversed(evidence.values.parts.items()):  # components first: they say where it comes from
        bad = ~torch.isfinite(value)
        if not bad.any():
            continue
        kind = "NaN" if torch.isnan(value).any() else "infinite"
        ends = int((bad & sample.terminated).sum())
        where = f", {ends:,} of them terminal" if ends else ""
        return f"{name} is {kind} in {int(bad.sum()):,} of {len(sample):,} {evidence.kind} transitions{where}"
    return None


@check(
    "values.absurd",
    "refuse",
    title="Absurdly large numbers",
    why="float32 keeps seven digits: beside 10,000,000 everything else in the reward is rounded away.",
    fix="Bound the term: torch.exp only of non-positive arguments, clamp, or tanh; keep components within -10 to 10.",
)
def absurd(evidence: Evidence) -> str | None:
    for name, value in reversed(evidence.values.parts.items()):
        largest = float(value.abs().max())
        if largest > ABSURD:
            return f"{name} reaches {largest:.2g} on {evidence.kind} transitions"
    return None


@check(
    "values.edge",
    "warn",
    title="Not a number at the edge of the feature ranges",
    why="A policy goes where random actions never went; at rest or at a limit this reward is NaN or infinite.",
    fix="Guard divisions by quantities that can be zero and roots and logarithms of ones that can be negative.",
)
def edge(evidence: Evidence) -> str | None:
    try:
        values = evidence.edge_values
    except EvaluationFailed as error:
        return f"evaluating the reward there failed: {error}"
    for name, value in reversed(values.parts.items()):
        bad = ~torch.isfinite(value)
        if bad.any():
            where = [EDGE_NAMES[i] for i in bad.nonzero().flatten().tolist()]
            return f"{name} is not a finite number with {'; with '.join(where)}"
    return None


# --- rows ------------------------------------------------------------------------------------------------------------


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())


def _close(a: Tensor, b: Tensor) -> bool:
    scale = float(torch.nan_to_num(a).abs().max()) if len(a) else 0.0
    return torch.allclose(a, b, rtol=TOLERANCE, atol=1e-2 * TOLERANCE * scale + 1e-9, equal_nan=True)


def _every_part(values: Values) -> Tensor:
    """(parts, M), so that one comparison covers the total and all components."""
    return torch.stack(list(values.parts.values()))


def _score(evidence: Evidence, sample: Sample, index: Tensor) -> Tensor:
    return _every_part(evaluate_rows(evidence.program, sample.rows(index)))


@check(
    "rows.mixed",
    "refuse",
    title="A row's reward depends on the other rows",
    why="Rows are transitions of different environments. A mean, maximum, sort or cumulative sum over the batch makes "
    "the same transition pay differently depending on its neighbours.",
    fix="Work on each row by itself: reduce over feature dimensions (dim=1), never over dim=0; use constants or "
    "parameters for scales and thresholds.",
)
def mixed(evidence: Evidence) -> str | None:
    sample = evidence.probe
    half = len(sample) // 2
    if half < 1:
        raise Inconclusive("fewer than two transitions")
    first, second = torch.arange(half), torch.arange(half, 2 * half)
    # the position and the batch size stay the same, so even rounding does: a row-independent reward is equal bit by bit
    base = _score(evidence, sample, torch.cat([first, second]))
    copies = _score(evidence, sample, torch.cat([first, first[:1].expand(half)]))
    others = _score(evidence, sample, torch.cat([second.flip(0), second]))
    if not _same(base[:, :half], copies[:, :half]) or not _same(base[:, half:], others[:, half:]):
        return f"the same {half} rows were paid differently after the other {half} rows of the batch were exchanged"
    return None


@check(
    "rows.batch_size",
    "refuse",
    title="A row's reward depends on the size of the batch or on its place in it",
    why="The batch is as large as the trainer likes; its size and a row's position mean nothing.",
    fix="Do not use len(x), x.shape[0], torch.arange over the batch, or shifts along dim=0.",
)
def batch_size(evidence: Evidence) -> str | None:
    sample = evidence.probe
    everything = torch.arange(len(sample))
    base = _score(evidence, sample, everything)
    if not _close(base, _score(evidence, sample, everything.flip(0)).flip(1)):
        return f"the same {len(sample)} rows in reverse order were paid differently"
    half = len(sample) // 2
    if half and not _close(base[:, :half], _score(evidence, sample, everything[:half])):
        return f"{half} rows alone were paid differently than within a batch of {len(sample)}"
    for row in everything[:: max(1, len(sample) // 4)].tolist():
        if not _close(base[:, row : row + 1], _score(evidence, sample, everything[row : row + 1])):
            return f"a row alone was paid differently than within a batch of {len(sample)}"
    return None


# --- signal ----------------------------------------------------------------------------------------------------------


def is_constant(value: Tensor) -> bool:
    """Whether all numbers are the same to float32's precision. NaN and infinities are left out."""
    value = value[torch.isfinite(value)]
    return len(value) == 0 or float(value.max() - value.min()) <= 1e-6 * float(value.abs().max())


def _first(value: Tensor) -> float:
    """The first number, never "-0"."""
    return float(value[0]) + 0.0


def _varies_elsewhere(evidence: Evidence) -> bool:
    """Whether a reward that is constant on recorded transitions changes on synthetic ones or towards a goal.

    One that remembers may also change later than anything recorded.
    """
    if evidence.recorded is not None and evidence.program.remembers:
        return True
    return not is_constant(torch.cat([values.effective for values in (evidence.values, *_elsewhere(evidence))]))


def _elsewhere(evidence: Evidence) -> list[Values]:
    """The reward where recorded episodes need not have been: on synthetic transitions and on arrival at goal states."""
    arrivals = [] if evidence.goals is None else list(evidence.arrivals.values())
    return [evidence.invented_values, *arrivals]


def _zero(evidence: Evidence) -> tuple[list[str], list[str]]:
    """Components that are zero in every transition, and those of them that are zero elsewhere too."""
    silent = [name for name, value in evidence.values.components.items() if not value.any()]
    return silent, [n for n in silent if not any(v.components[n].any() for v in _elsewhere(evidence))]


@check(
    "signal.only_length",
    "warn",
    title="Every step pays the same",
    why="Only how long an episode lasts counts. Where falling ends it, that asks for staying up and for nothing else.",
    fix="Right for a balance task; else add what tells good steps from bad ones.",
)
def only_length(evidence: Evidence) -> str | None:
    pay = evidence.values.effective
    if evidence.recorded is None or not is_constant(pay) or _varies_elsewhere(evidence):
        return None
    ends, value = int(evidence.sample.terminated.sum()), float(pay[0])
    if not value or ends < MIN_ENDS:
        return None
    return f"every step pays {value:.4g}, and {ends:,} of the recorded episodes ended by themselves"


@check(
    "signal.constant",
    "refuse",
    title="The total never changes",
    why="A reward that pays the same for everything teaches nothing.",
    fix="Let the total depend on features that the agent's actions change, and include every component in the total.",
)
def constant(evidence: Evidence) -> str | None:
    if not is_constant(evidence.values.effective) or _varies_elsewhere(evidence) or only_length.run(evidence):
        return None
    value = _first(evidence.values.effective)
    count = len(evidence.sample)
    return f"the total is {value:.4g} in all {count:,} {evidence.kind} transitions and everywhere else tried"


@check(
    "signal.only_shaping",
    "refuse",
    title="Only potential shaping, no reward",
    why="Potential shaping changes how fast a policy is found, never which is best: alone it makes all equally good.",
    fix="Let compute_reward itself pay for the task; keep `potential` as a guide beside it.",
)
def only_shaping(evidence: Evidence) -> str | None:
    values = evidence.values
    if not evidence.program.has_potential or is_constant(values.effective):
        return None
    totals = torch.cat([values.total, evidence.invented_values.total])
    return "the total is the same everywhere and only the potential changes" if is_constant(totals) else None


@check(
    "signal.silent",
    "warn",
    title="The total never changes in recorded episodes",
    why="It pays only for what random behaviour never reaches, so training has nothing to start from.",
    fix="Add a dense term that grows on the way to the goal: a distance, an angle, a speed.",
)
def silent(evidence: Evidence) -> str | None:
    if evidence.recorded is None or not is_constant(evidence.values.effective) or not _varies_elsewhere(evidence):
        return None
    return f"the total is {_first(evidence.values.effective):.4g} in all {len(evidence.sample):,} recorded transitions"


@check(
    "signal.dead_component",
    "warn",
    title="A component is always zero",
    why="It never fires, so it guides nobody; often its threshold cannot be reached, or a name is misread.",
    fix="Check the feature's range and unit, loosen the condition, replace it by a smooth term, or drop it.",
)
def dead_component(evidence: Evidence) -> str | None:
    _, dead = _zero(evidence)
    if not dead:
        return None
    return f"{quoted(dead)}: zero in all {len(evidence.sample):,} {evidence.kind} transitions and everywhere else tried"


@check(
    "signal.sleeping_component",
    "info",
    title="A component never fires in recorded episodes",
    why="It fires elsewhere (at goal states, for example), as a bonus for success does; until then it guides nobody.",
    fix="Nothing, if other components lead to where it fires.",
)
def sleeping_component(evidence: Evidence) -> str | None:
    silent, dead = _zero(evidence)
    sleeping = [name for name in silent if name not in dead]
    if not sleeping or evidence.recorded is None:
        return None
    return f"{quoted(sleeping)}: zero in all {len(evidence.sample):,} recorded transitions, but not elsewhere"


@check(
    "signal.constant_component",
    "info",
    title="A component is the same everywhere",
    why="A constant does not tell good from bad; it only makes longer (or shorter) episodes pay more.",
    fix="Keep it only if living longer (or finishing sooner) is part of the task.",
)
def constant_component(evidence: Evidence) -> str | None:
    flat = {n: float(v[0]) for n, v in evidence.values.components.items() if v.any() and is_constant(v)}
    return "; ".join(f"{quoted([name])} is always {value:.4g}" for name, value in flat.items()) or None


@check(
    "signal.drowned",
    "warn",
    title="One component drowns the others",
    why="The policy hears only the component that moves most; the others might as well not be there.",
    fix="Scale the components so that each can move the total: divide the large one by its range, or raise the others.",
)
def drowned(evidence: Evidence) -> str | None:
    spreads = {name: float(v.std()) for name, v in evidence.values.components.items() if not is_constant(v)}
    if len(spreads) < 2:
        return None
    shares = {name: spread / sum(spreads.values()) for name, spread in spreads.items()}
    ranked = sorted(shares, key=lambda name: -shares[name])
    if shares[ranked[0]] < DROWNED:
        return None
    listed = ", ".join(f"{quoted([name])} {shares[name]:.1%}" for name in ranked[:NAMES_SHOWN])
    return f"shares of the components' movement: {listed}"


@check(
    "signal.unused_feature",
    "info",
    title="Features the reward does not read",
    why="Most rewards need only a few features; this says which ones were left out, in case one was forgotten.",
    fix="Nothing, unless one of them matters for the task.",
)
def unused_feature(evidence: Evidence) -> str | None:
    unused = list(evidence.program.unused_features)
    return f"not read: {quoted(unused)}" if unused else None


@check(
    "signal.unused_parameter",
    "info",
    title="A parameter is not used",
    why="It is in the signature but nothing depends on it, so tuning it is pointless.",
    fix="Use the parameter or remove it from the signature.",
)
def unused_parameter(evidence: Evidence) -> str | None:
    program = evidence.program
    functions = [program.graph.reward] + ([program.graph.potential] if program.graph.potential else [])
    read = {entry.name for function in functions for entry in function.inputs if entry.source == "parameter"}
    unused = [name for name in program.parameters if name not in read and name not in program.structural]
    return f"not used: {quoted(unused)}" if unused else None


@check(
    "signal.unused_memory",
    "warn",
    title="Memory that the reward does not depend on",
    why="Every policy sees the memory beside its observations, and every step updates it, but neither the total nor a "
    "component reads it.",
    fix="Let the reward depend on it, or remove initial_memory and the memory argument.",
)
def unused_memory(evidence: Evidence) -> str | None:
    program = evidence.program
    if program.remembers or not program.uses_memory:
        return None
    return f"neither the total nor a component reads {quoted(list(program.memory_spec))}"
