"""Composed terms <-> reward files. The file is all there is: a genome is read back from its docstring and defaults."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace

from rewardsmith.design.builtin.terms import Term, rounded, term_from_key
from rewardsmith.types import RewardInterface

Genome = tuple[Term, ...]
SIGNATURE = "Composed by rewardsmith's built-in designer, which is not a language model."


def component_names(genome: Sequence[Term]) -> list[str]:
    """A unique name for each term, in order."""
    names: list[str] = []
    for term in genome:
        name, number = term.name, 2
        while name in names:
            name, number = f"{term.name}_{number}", number + 1
        names.append(name)
    return names


def write_source(genome: Sequence[Term], interface: RewardInterface) -> str:
    """The reward file of `genome`, valid under the reward contract. Numbers are rounded to two digits."""
    genome = [_rounded(term) for term in genome]
    names = component_names(genome)
    specs = {f.name: f for f in interface.features}
    discrete, many = interface.action.kind != "continuous", interface.action.kind != "discrete"
    numbers = {k: v for term, name in zip(genome, names, strict=True) for k, v in term.parameters(name).items()}
    terms = f"Terms: {', '.join(term.key for term in genome)}."
    head = "\n".join(textwrap.wrap(terms, 108, break_long_words=False, break_on_hyphens=False))
    code = [t.code(name, specs, discrete=discrete, many=many) for t, name in zip(genome, names, strict=True)]
    body = "\n".join([f'"""{head}', "", SIGNATURE, '"""', *code, "", _total(names), _returned(names)])
    parameters = "".join(f"    {name}={value!r},\n" for name, value in numbers.items())
    return (
        f"def compute_reward(\n    obs,\n    action,\n    next_obs,\n    *,\n{parameters}):\n"
        + re.sub(r"[ ]+$", "", textwrap.indent(body, "    "), flags=re.MULTILINE)
        + "\n"
    )


def read_genome(code: str, interface: RewardInterface) -> Genome | None:
    """The genome of a file that `write_source` wrote, whatever its numbers are now; None for any other code."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    function = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "compute_reward"), None)
    doc = ast.get_docstring(function) if function else None
    if function is None or doc is None or SIGNATURE not in doc:
        return None
    listed = re.match(r"Terms: (.+?)\.\n\n", " ".join(doc.partition("\n\n")[0].split()) + "\n\n")
    terms = [term_from_key(key) for key in listed[1].split(", ")] if listed else [None]
    known = {f.name for f in interface.features}
    if any(t is None or not _features_of(t) <= known for t in terms):
        return None
    genome = [t for t in terms if t is not None]
    try:
        numbers = {
            a.arg: float(ast.literal_eval(d))
            for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
            if d is not None
        }
        return tuple(t.with_parameters(n, numbers) for t, n in zip(genome, component_names(genome), strict=True))
    except (KeyError, ValueError, TypeError):
        return None


def _features_of(term: Term) -> set[str]:
    signals = [s for s in (term.signal, term.gate) if s is not None]
    return {name for s in signals for name in (s.feature, s.other) if name}


def _rounded(term: Term) -> Term:
    return replace(
        term,
        weight=rounded(term.weight),
        scale=rounded(term.scale) or 1.0,
        target=rounded(term.target, 3),
        gate_scale=rounded(term.gate_scale) or 1.0,
        gate_target=rounded(term.gate_target, 3),
    )


def _total(names: Sequence[str]) -> str:
    line = f"total = {' + '.join(names)}"
    if len(line) <= 112:
        return line
    return "\n".join(["total = (", f"    {names[0]}", *(f"    + {n}" for n in names[1:]), ")"])


def _returned(names: Sequence[str]) -> str:
    pairs = [f'"{n}": {n}' for n in names]
    line = f"return total, {{{', '.join(pairs)}}}"
    return line if len(line) <= 112 else "\n".join(["return total, {", *(f"    {p}," for p in pairs), "}"])
