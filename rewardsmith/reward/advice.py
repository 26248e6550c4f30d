"""Turns what torch and the loader say about candidate code into the words of the contract, with a rewrite of its line.

Everything here reads text and syntax trees only. The line came out of the jail: if it is wrong, so is the advice.
"""

from __future__ import annotations

import ast
import re
from typing import TypeGuard

_MESSAGE_CHARS = 80
_OPERATION = re.compile(r"\baten\.(\w+?)(?:\.\w+)?(?![\w.])")
_NAMES = {
    "select": "x[i]",
    "slice": "x[i:j]",
    "index": "x[index]",
    "index_put": "x[index] = value",
    "linalg_vector_norm": "norm",
    "unbind": "a loop over x",
    "view": "reshape",
    "_to_copy": "to",
    "constant_pad_nd": "pad",
    "sym_size": "x.shape",
}
_REDUCTIONS = (
    "sum", "mean", "prod", "nansum", "amax", "amin", "aminmax", "max", "min", "any", "all", "argmax", "argmin", "var",
    "std", "var_mean", "logsumexp", "linalg_vector_norm", "norm", "count_nonzero", "median", "dot",
)  # fmt: skip
_ALONG = (
    "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "sort", "topk", "_softmax", "_log_softmax", "cat", "flip",
    "roll",
)  # fmt: skip
_REDUCE = "use dim=-1 to reduce over the features of each row; leave it away for a feature of shape (N,)"
_BATCH_HINTS = {
    **dict.fromkeys(_REDUCTIONS, _REDUCE),
    **dict.fromkeys(_ALONG, "use dim=-1; dim=0 are the rows of the batch, which do not know each other"),
    "select": "x[0] is one row: x[:, 0] is the first entry of every row",
    "mm": "(N, k) @ (k,) is one product for each row; for two features of each row write (a * b).sum(dim=-1)",
}
_PRODUCT_WORDS = ("reduction dim", "cannot be multiplied", "of batch2")
_SHAPES = "(N,) and (N, k) do not combine: x.unsqueeze(-1) is (N, 1), x[:, i] and x.sum(dim=-1) are (N,)"
_LIBRARY = {"__torch": "torch", "__linalg": "torch.linalg", "__functional": "F", "__math": "math", "__toolkit.": ""}
_PLAIN = {"float", "int", "bool", "round"}


def in_plain_words(message: str) -> str:
    """A message without the names that torch gives to operations and sizes."""
    message = _OPERATION.sub(lambda match: f"`{_NAMES.get(match[1], match[1].strip('_'))}`", message)
    return re.sub(r"\bs\d+\b", "N", message)


def hint_for(id: str, message: str, source: str, line: int | None) -> str:
    """What to write instead; empty where the finding's own advice has to do.

    Args:
        message: as the tracer or the loader gave it, before `in_plain_words`.
        source: the normalized source.
        line: a line of it.
    """
    if id == "graph.batch_coupling" and (match := _OPERATION.search(message)):
        return _BATCH_HINTS.get(match[1], "")
    if id == "trace.error" and "must match the size" in message:
        return _SHAPES
    if id == "trace.error" and any(words in message for words in _PRODUCT_WORDS):
        return _BATCH_HINTS["mm"]
    if id == "trace.data_dependent" and line is not None:
        statements = [node for node in ast.walk(ast.parse(source)) if _starts_at(node, line)]
        return _decision(statements[0]) if statements else ""
    return ""


def _starts_at(node: ast.AST, line: int) -> TypeGuard[ast.stmt]:
    return isinstance(node, ast.stmt) and node.lineno == line


def _decision(statement: ast.stmt) -> str:
    """How to write a decision by the value of a tensor in this statement."""
    parts = list(ast.walk(statement.test if isinstance(statement, (ast.If, ast.Assert)) else statement))
    for part in parts:
        match part:
            case ast.Compare(left=left, ops=[first, second], comparators=[middle, right]):
                low = ast.Compare(left=left, ops=[first], comparators=[middle])
                high = ast.Compare(left=middle, ops=[second], comparators=[right])
                return f"write ({_text(low)}) & ({_text(high)}) instead of {_text(part)}"
            case ast.BoolOp(op=op, values=values):
                sign = " & " if isinstance(op, ast.And) else " | "
                return f"write {sign.join(f'({_text(value)})' for value in values)} instead of {_text(part)}"
            case ast.IfExp(test=test, body=body, orelse=other):
                chosen = ", ".join(_text(case) for case in (_of_each_row(test), body, other))
                return f"write torch.where({chosen}) instead of {_text(part)}"
            case ast.Call(func=ast.Name(id=("max" | "min") as name), args=[a, b]):
                return f"write torch.{name}imum({_text(a)}, {_text(b)}) instead of {_text(part)}"
            case ast.Call(func=ast.Name(id=name), args=[inner]) if name in _PLAIN:
                return f"write {_text(inner)} instead of {_text(part)}: there is one value for every row"
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return f"write ~({_text(operand)}) instead of {_text(part)}"
    for part in parts:
        match part:
            case ast.Subscript(
                value=value, slice=ast.Compare() | ast.BinOp() | ast.UnaryOp() | ast.Name() as mask, ctx=ast.Load()
            ):
                chosen = f"torch.where({_text(mask)}, {_text(value)}, 0.0)"
                return f"a mask selects a number of rows that depends on data: write {chosen} instead of {_text(part)}"
    if isinstance(statement, ast.If):
        test = _text(_of_each_row(statement.test))
        return f"remove the `if`: compute both cases and write x = torch.where({test}, case, other)"
    return ""


def _of_each_row(test: ast.expr) -> ast.expr:
    """`condition.any()` asks about the whole batch; what is wanted is the condition of each row."""
    match test:
        case ast.Call(func=ast.Attribute(value=condition, attr="any" | "all"), args=[], keywords=[]):
            return condition
    return test


def _text(node: ast.expr) -> str:
    """A piece of the source as its author wrote it, more or less."""
    text = ast.unparse(node)
    for name, written in _LIBRARY.items():
        text = text.replace(name, written)
    return text if len(text) <= _MESSAGE_CHARS else f"{text[: _MESSAGE_CHARS - 3]}..."
