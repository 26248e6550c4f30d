"""What happens to a reward at the last step of an episode: blanked features, and potentials that forget the end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch

from rewardsmith.critic.checks_episodes import MIN_ENDS, going_on, recorded
from rewardsmith.critic.checks_values import quoted
from rewardsmith.critic.evidence import Evidence, Inconclusive, evaluate_episodes
from rewardsmith.critic.findings import check
from rewardsmith.critic.forms import Forms, literal, reference, total_without
from rewardsmith.critic.sample import Sample

FALL = 5.0  # a feature that drops to zero by this many times its usual change per step was not driven there
FELT = 0.5  # what the end has to change in the reward, in standard deviations of the other steps
SUMS = ("aten.add.Tensor", "aten.sub.Tensor")
MAX_ADDENDS = 40  # of one sum
GAMMAS = (0.8, 1.0)  # factors between which a difference of two like values is a discounted one

# --- blank observations ----------------------------------------------------------------------------------------------


def blank_features(sample: Sample) -> list[str]:
    """Features that are exactly zero at every unsuccessful end and had no business to get there in one step."""
    ends = sample.terminated & ~(sample.success >= 0.5)
    if int(ends.sum()) < MIN_ENDS:
        raise Inconclusive("too few of the episodes looked at ended by themselves without success")
    blank = []
    for name, before in sample.obs.items():
        after = sample.next_obs[name]
        if after.dtype == torch.bool or after[ends].any():
            continue
        change = (
            (after.double() - before.double()).flatten(1) if after.dim() > 1 else (after - before).double()[:, None]
        )
        usual = float(change[~sample.terminated].square().mean().sqrt()) if (~sample.terminated).any() else 0.0
        fall = change[ends].square().mean(1).sqrt()
        if float(fall.min()) > FALL * usual:
            blank.append(name)
    return blank


@check(
    "episodes.blank_end",
    "warn",
    title="The last observation is blank and the reward believes it",
    why="Some environments return zeros instead of an observation when an episode ends (NetHack does). A term for "
    "something being low or reached then fires at every death.",
    fix="Multiply the terms that read these features by (~next_obs['terminated']).float(), or read them from obs.",
)
def blank_end(evidence: Evidence) -> str | None:
    sample = recorded(evidence)
    if not sample.terminated.any():
        raise Inconclusive("no episode looked at ended by itself")
    others = going_on(sample)
    unread = set(evidence.program.unused_features)
    blank = [name for name in blank_features(sample) if name not in unread]
    if not blank:
        return None
    ends = sample.terminated & ~(sample.success >= 0.5)
    lasting = {
        name: torch.where(ends.view(-1, *[1] * (v.dim() - 1)), sample.obs[name], v) if name in blank else v
        for name, v in sample.next_obs.items()
    }
    pay = evidence.values.effective
    live = evaluate_episodes(evidence.program, replace(sample, next_obs=lasting)).effective
    change = float((pay - live)[ends].double().abs().mean())
    if change <= FELT * float(pay[others].double().std(correction=0)) or change <= 1e-6 * float(pay.abs().max()):
        return None
    return (
        f"at all {int(ends.sum())} unsuccessful ends {quoted(blank)} fell to zero in one step; the reward pays "
        f"{float(pay[ends].mean()):.4g} there and would pay {float(live[ends].mean()):.4g} with the last live values"
    )


# --- potentials written by hand --------------------------------------------------------------------------------------


class Scaled(NamedTuple):
    """A value without the numbers it is multiplied by."""

    slot: int
    factor: float
    masked: bool  # multiplied by something that depends on nothing but `terminated`


def strip(forms: Forms, slot: int, parameters: dict[str, float]) -> Scaled:
    """Take factors off a value: numbers, parameters, signs, and switches on `terminated`."""
    factor, masked = 1.0, False
    while (node := forms.node(slot)) is not None:
        if node.op == "aten.neg.default":
            rest, by = reference(node.args[0]), -1.0
        elif node.op in ("aten.mul.Tensor", "aten.mul.Scalar"):
            rest, by, switch = _product(forms, node.args[0], node.args[1], parameters)
            masked |= switch
        elif node.op == "aten.where.self" and _switch(forms, node.args[0]):
            rest, by, masked = next((r for a in node.args[1:] if (r := _moving(forms, a)) is not None), None), 1.0, True
        elif node.op in ("aten.masked_fill.Scalar", "aten.masked_fill.Tensor") and _switch(forms, node.args[1]):
            rest, by, masked = reference(node.args[0]), 1.0, True
        else:
            break
        if rest is None:
            break
        slot, factor = rest, factor * by
    return Scaled(slot, factor, masked)


def _product(forms: Forms, a: object, b: object, parameters: dict[str, float]) -> tuple[int | None, float, bool]:
    """Of a product the part that moves, the factor taken off, and whether that was a switch on `terminated`."""
    for moving, other in ((a, b), (b, a)):
        rest = reference(moving)
        if rest is None:
            continue
        number = _number(forms, other, parameters)
        if number is not None:
            return rest, number, False
        if _switch(forms, other):
            return rest, 1.0, True
    return None, 1.0, False


def _number(forms: Forms, value: object, parameters: dict[str, float]) -> float | None:
    """A literal, a parameter's default or a constant of one element."""
    slot = reference(value)
    if slot is None:
        return literal(value)
    if slot < len(forms.function.inputs):
        entry = forms.function.inputs[slot]
        return parameters[entry.name] if entry.source == "parameter" else None
    constant = forms.constant(slot)
    return literal(constant.data[0]) if constant is not None and len(constant.data) == 1 else None


def _switch(forms: Forms, value: object) -> bool:
    slot = reference(value)
    return slot is not None and forms[slot].reads == {"terminated"}


def _moving(forms: Forms, value: object) -> int | None:
    slot = reference(value)
    return slot if slot is not None and forms[slot].reads & {"obs", "next_obs"} else None


def forgetful_potentials(forms: Forms, parameters: dict[str, float]) -> Iterator[int]:
    """In all `gamma * phi(next_obs) - phi(obs)` that forget the end, the number of `gamma * phi(next_obs)`."""
    inner = {ref for slot, _ in forms.nodes() for _, ref in _addends(forms, slot)}
    for slot, _ in forms.nodes():
        if slot in inner:
            continue
        sides = [(ref, strip(forms, ref, parameters), sign) for sign, ref in _all_addends(forms, slot)]
        for (after, later, plus), (_, sooner, minus) in itertools.permutations(sides, 2):
            like = forms[later.slot].kind == forms[sooner.slot].kind
            frames = [forms[side.slot].reads & {"obs", "next_obs"} for side in (later, sooner)]
            if not like or frames != [{"next_obs"}, {"obs"}] or sooner.factor == 0 or later.masked:
                continue
            ratio = -plus * later.factor / (minus * sooner.factor)
            if GAMMAS[0] < ratio < GAMMAS[1] and _reaches_output(forms, slot):
                yield after


def _addends(forms: Forms, slot: int) -> list[tuple[float, int]]:
    """Signs and numbers of the values that a sum or difference adds, numbers left out; none for anything else."""
    node = forms.node(slot)
    if node is None or node.op not in SUMS or len(node.args) != 2 or node.kwargs:
        return []
    signs = (1.0, -1.0 if node.op == "aten.sub.Tensor" else 1.0)
    return [(sign, ref) for sign, a in zip(signs, node.args, strict=True) if (ref := reference(a)) is not None]


def _all_addends(forms: Forms, slot: int) -> list[tuple[float, int]]:
    """The same of a sum of sums: its addends, those of its addends, and so on; of a very long one not all."""
    found = _addends(forms, slot)
    for sign, value in found:  # grows on the way
        if len(found) < MAX_ADDENDS:
            found += [(sign * its_sign, part) for its_sign, part in _addends(forms, value)]
    return found


def _reaches_output(forms: Forms, start: int) -> bool:
    """Whether a value gets into an output other than through a product or choice that depends on `terminated`."""
    reached = {start}
    for slot, node in forms.nodes():
        arguments = [r for a in (*node.args, *node.kwargs.values()) if (r := reference(a)) is not None]
        nested = {r for a in node.args if isinstance(a, (list, tuple)) for x in a if (r := reference(x)) is not None}
        if not reached.intersection({*arguments, *nested}):
            continue
        others = [r for r in arguments if r not in reached]
        switches = node.op in ("aten.mul.Tensor", "aten.where.self") or node.op.startswith("aten.masked_fill")
        if not (switches and any("terminated" in forms[r].reads for r in others)):
            reached.add(slot)
    return any(value in reached for value in forms.function.outputs.values())


@check(
    "episodes.potential_end",
    "warn",
    title="A potential written by hand does not end with the episode",
    why="gamma * phi(next_obs) - phi(obs) changes nothing about the best policy only if phi counts as zero after the "
    "last step; otherwise every end pays or costs phi, and dying where phi is high pays (Grzes 2017).",
    fix="Move phi into `def potential(obs)`: the trainer then does it right; or multiply phi(next_obs) by "
    "(~next_obs['terminated']).float().",
)
def potential_end(evidence: Evidence) -> str | None:
    program, sample = evidence.program, recorded(evidence)
    forms = Forms(program.graph.reward, evidence.interface)
    found = list(forgetful_potentials(forms, program.parameters))
    if not found:
        return None
    if int(sample.terminated.sum()) < MIN_ENDS:
        raise Inconclusive("the reward shapes by hand, and too few episodes ended by themselves to see it at the end")
    others = going_on(sample)
    ends = sample.rows(sample.terminated)
    memory = {name: value[sample.terminated] for name, value in evidence.values.memory.items()}
    pay, right = evidence.values.total[sample.terminated], total_without(program, found, ends, memory)
    spread = float(evidence.values.total[others].double().std(correction=0))
    if float((pay - right).abs().double().mean()) <= FELT * spread:
        return None
    return (
        f"the {len(ends)} steps that ended an episode are paid {float(pay.mean()):.4g} on average; with phi(next_obs) "
        f"zero there, as it has to be, {float(right.mean()):.4g}. Other steps' rewards spread by {spread:.4g}"
    )
