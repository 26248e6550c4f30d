"""Every finding that the gate, the tracer and the graph loader can make: stable id -> title, why, fix."""

from __future__ import annotations

from typing import NamedTuple

from rewardsmith.types import Finding, Severity


class Explanation(NamedTuple):
    """`why` says why it matters, `fix` what to do, in words that a person and a model can act on."""

    title: str
    why: str
    fix: str


_ROWS = "A reward is computed for many transitions at once; every row must get the value it would get alone."

FINDINGS: dict[str, Explanation] = {
    # --- the gate: the source text ---
    "gate.size": Explanation(
        "the source is too large",
        "Rewards are short; very large or deeply nested code and huge literals are a way to exhaust the checker.",
        "Write it shorter: fewer lines, smaller literals, less nesting.",
    ),
    "gate.encoding": Explanation(
        "characters that are not allowed",
        "Control characters, invisible characters, encoding declarations and non-ASCII names can make code read "
        "differently from what it does.",
        "Use plain ASCII for names and strings; comments may contain other letters.",
    ),
    "gate.syntax": Explanation("not valid Python", "The source does not parse.", "Correct the syntax at that line."),
    "gate.import": Explanation(
        "this import is not available",
        "Rewards run as tensor operations; no other library exists for them.",
        "Use torch (numpy functions have torch counterparts), torch.nn.functional as F, math and the toolkit.",
    ),
    "gate.statement": Explanation(
        "this kind of statement is not allowed",
        "Only functions, assignments, calls, `if`, `for` over fixed ranges and `return` are needed and allowed.",
        "Write it with plain assignments, torch.where and loops over fixed ranges.",
    ),
    "gate.name": Explanation(
        "unknown or forbidden name",
        "Only your own variables and functions, torch, F, math, a few builtins and the toolkit exist.",
        "Define the name in the file, or use one of the allowed functions.",
    ),
    "gate.attribute": Explanation(
        "this attribute or method is not allowed",
        "Only tensor methods and a few container methods are allowed on values.",
        "Use a tensor method or a torch function instead.",
    ),
    "gate.torch": Explanation(
        "this torch or math function is not allowed",
        "Functions with randomness, side effects or data-dependent sizes do not exist for rewards.",
        "Use a deterministic torch function whose result has a size known in advance.",
    ),
    "gate.signature": Explanation(
        "the function has the wrong form",
        "The trainer calls compute_reward(obs, action, next_obs, *, parameters) and nothing else.",
        'def compute_reward(obs, action, next_obs, *, weight=1.0): ... return total, {"name": component}',
    ),
    "gate.parameter": Explanation(
        "a parameter has no usable default",
        "Parameters are numbers that can be tuned later: keyword-only, with a finite float default.",
        "Give each parameter a float default; for a switch or a choice write two rewards.",
    ),
    # --- the tracer: what the code does ---
    "trace.data_dependent": Explanation(
        "the code decides by looking at a value",
        "A Python `if`, `while`, `and`, float() or int() on a tensor needs one single value, but there is one per row.",
        "Remove the `if`: compute both cases and choose for each row, x = torch.where(condition, a, b); return once, "
        "at the end. For tensors use &, |, ~, torch.maximum and torch.minimum instead of and, or, not, max and min.",
    ),
    "trace.batch_size": Explanation(
        "the code depends on the number of rows",
        _ROWS + " Their number differs from call to call, so it may not be read as a number.",
        "Use x.shape[0] only as a size (torch.zeros(x.shape[0])); never in arithmetic, `if` or a loop. Give functions "
        "such as cross an explicit dim=-1.",
    ),
    "trace.feature": Explanation(
        "there is no such feature",
        "obs and next_obs have exactly the features listed in the task.",
        "Use one of the listed names.",
    ),
    "trace.output": Explanation(
        "the result has the wrong form",
        "compute_reward returns the total (N,) and a dict of named components (N,).",
        'return total, {"name": component}; reduce feature dimensions with .sum(dim=-1) or pick one with [:, 0].',
    ),
    "trace.mutation": Explanation(
        "the code changes its inputs",
        "Other rewards read the same tensors.",
        'Work on a copy: x = obs["name"].clone().',
    ),
    "trace.memory": Explanation(
        "memory has the wrong form",
        "Memory keeps its names, shapes and dtypes, starts alike in every episode, and holds at most 16 numbers a row.",
        'Return the same keys and shapes that initial_memory(n) gives, for example {"stage": torch.zeros(n)}.',
    ),
    "trace.operation": Explanation(
        "an operation is not supported",
        "Only operations on the allow-list can become part of a reward graph.",
        "Express it with elementwise operations, sums, norms, comparisons and torch.where.",
    ),
    "trace.error": Explanation(
        "the code fails when it runs", "It raised an error on example inputs.", "Correct the line that the error names."
    ),
    "trace.limits": Explanation(
        "tracing took too long or too much memory",
        "A reward has to be cheap; loops run once, while tracing, and must be short.",
        "Remove long loops and large intermediate values; use one tensor operation instead of a loop.",
    ),
    "trace.forbidden": Explanation(
        "the code tried to leave its sandbox",
        "It opened a file, a network connection or a process, or crashed the interpreter.",
        "Compute with torch only.",
    ),
    "trace.result": Explanation(
        "the tracer gave no readable result", "What came back was incomplete or damaged.", "Simplify the reward."
    ),
    "trace.structural": Explanation(
        "a parameter is fixed",
        "The parameter is used where a plain number is needed (an `if`, float(), math functions), so it becomes part "
        "of the graph and cannot be tuned without tracing again.",
        "Use torch functions (torch.exp, torch.where, torch.maximum) on it if it should be tunable.",
    ),
    # --- the loader: the graph as data ---
    "graph.format": Explanation("not a reward graph", "The data does not have the form of a graph.", "Trace it again."),
    "graph.size": Explanation(
        "the graph is too large", "Cost is bounded before anything runs.", "Simplify the reward."
    ),
    "graph.interface": Explanation(
        "the graph belongs to another environment",
        "It was traced against other features or another action space.",
        "Check the reward's source against this environment.",
    ),
    "graph.inputs": Explanation(
        "unknown inputs", "It reads something the environment does not offer.", "Trace it again."
    ),
    "graph.outputs": Explanation(
        "wrong outputs",
        "The total and every component must be (N,) float32; memory must keep its shape.",
        "Reduce feature dimensions with .sum(dim=-1), or pick one with [:, 0].",
    ),
    "graph.memory": Explanation("impossible memory", "At most 16 finite numbers a row.", "Remember less."),
    "graph.constant": Explanation("impossible constant", "A constant does not fit its shape.", "Trace it again."),
    "graph.op": Explanation(
        "an operation is not on the allow-list",
        "Only pure, deterministic operations of known cost are executed.",
        "Express it with elementwise operations, sums, norms, comparisons and torch.where.",
    ),
    "graph.arguments": Explanation(
        "an operation has wrong arguments",
        "Every operation is checked against its declaration and run on empty tensors of several sizes.",
        "Make every operation work for any number of rows, one included.",
    ),
    "graph.batch_size": Explanation(
        "a size depends on the number of rows in an odd way",
        _ROWS,
        "Do not slice, pad, split or step along the first dimension.",
    ),
    "graph.batch_coupling": Explanation(
        "rows are mixed",
        _ROWS,
        "Reduce over feature dimensions (dim=-1), never over the first one: no x.mean() or x.max() of a whole batch, "
        "no x[0].",
    ),
    "graph.cost": Explanation(
        "the reward would cost too much",
        "Every intermediate value may have only a fixed number of elements per row.",
        "Avoid products between all pairs of rows: use (a * b).sum(dim=-1) instead of torch.diag(a @ b.T).",
    ),
}


def finding(
    id: str, message: str, *, line: int | None = None, hint: str = "", severity: Severity = "refuse"
) -> Finding:
    """A finding with the table's fix unless a better one is given."""
    return Finding(id=id, severity=severity, message=message, hint=hint or FINDINGS[id].fix, line=line)
