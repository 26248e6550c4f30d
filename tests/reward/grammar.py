"""Random Python for the gate: sources grown from a grammar, and sources damaged in the ways that text gets damaged."""

# ruff: noqa: E501 (tables read better with one case a line)

from __future__ import annotations

import random
from collections.abc import Sequence

# Words in capitals are rules, `\n` ends a line, `>` and `<` indent and dedent, the rest is text.
_RULES: dict[str, tuple[str, ...]] = {
    "FILE": ("TOP TOP MAIN", "MAIN", "MAIN TOP", "TOP TOP TOP MAIN TOP"),
    "MAIN": ("def compute_reward( obs , action , next_obs PARAMS ) HINT : \n > x = 1 \n y = e = x \n BLOCK return x , DICT \n <",),
    "TOP": (
        "import MODULE as q \n", "from torch import WORD as q \n", "x = EXPR \n", "i : HINTED = EXPR \n",
        "DECORATOR def reward ( x , * y , e = EXPR ) : \n > BLOCK <", "def total ( x ) : \n > BLOCK <", "TEXT \n",
    ),
    "DECORATOR": ("", "@ torch . no_grad ( ) \n", "@ torch . jit . script \n"),
    "PARAMS": ("", ", * , w = NUMBER", ", w = NUMBER", ", * , w : HINTED = - 2.5"),
    "HINT": ("", "-> HINTED"),
    "HINTED": ("float", "Dict [ str , Tensor ]", "torch.Tensor", "TEXT"),
    "BLOCK": ("STATEMENT", "STATEMENT STATEMENT", "STATEMENT STATEMENT STATEMENT STATEMENT"),
    "STATEMENT": (
        "NAME = EXPR \n", "x = EXPR \n", "x AUG EXPR \n", "x [ EXPR ] AUG EXPR \n", "y : HINTED = EXPR \n", "x , y = EXPR , EXPR \n",
        "pass \n", "TEXT \n", "if EXPR : \n > BLOCK <", "if EXPR : \n > BLOCK < else : \n > BLOCK <", "for i in EXPR : \n > BLOCK <",
        "with torch . no_grad ( ) : \n > BLOCK <", "raise ValueError ( EXPR ) \n", "del x \n", "assert EXPR , TEXT \n", "print ( EXPR ) \n",
    ),
    "EXPR": (
        "NAME", "NUMBER", "TEXT", "FEATURE", "FEATURE", "EXPR OP EXPR", "EXPR COMPARE EXPR", "EXPR < EXPR < EXPR", "- EXPR", "~ EXPR", "not EXPR",
        "( EXPR )", "EXPR . METHOD ( EXPR )", "torch . WORD ( EXPR )", "F . relu ( EXPR )", "math . pi", "np . pi", "NAME ( EXPR , e = EXPR )",
        "FEATURE . shape", "EXPR [ EXPR ]", "EXPR [ : , NUMBER ]", "EXPR [ EXPR : EXPR ]", "[ EXPR , EXPR ]", "( EXPR , )", "DICT",
        "{ EXPR , EXPR }", "[ EXPR for i in EXPR if EXPR ]", "{ i : EXPR for i in EXPR }", "( EXPR for i in EXPR )", "( lambda x , y = EXPR : EXPR )",
        "( EXPR if EXPR else EXPR )", "( x := EXPR )", "f'{x}'", "f'a{x:2d}'", "( EXPR and EXPR or EXPR )", "abs ( * x , ** y )",
    ),
    "DICT": ("{ }", "{ TEXT : EXPR }", "{ TEXT : x , ** y }", "dict ( e = EXPR )"),
    "FEATURE": ("obs [ 'height' ]", "next_obs [ 'position' ]", "next_obs [ TEXT ]", "action"),
    "OP": ("+", "-", "*", "/", "**", "//", "%", "@", "&", "|", "^"),
    "AUG": ("+=", "-=", "*=", "/=", "|=", "**="),
    "COMPARE": ("<", ">=", "==", "!=", "is", "in", "not in"),
    "NUMBER": ("0", "1", "2.5", "1e-3", "0x10", "10_000", ".5", "1e999"),
    "TEXT": ("'height'", '"a"', "'''two'''", "r'd'", "''", "'%s'"),
    "NAME": ("x", "y", "e", "obs", "next_obs", "len", "abs", "contains", "None", "True"),
    "WORD": ("exp", "sum", "mean", "where", "norm", "tanh", "stack"),
    "METHOD": ("exp", "sum", "clamp", "where", "get", "mean", "clip", "isclose", "append"),
    "MODULE": ("torch", "math", "torch.nn.functional", "typing", "rewardsmith.toolkit", "numpy"),
}  # fmt: skip
_WILD: dict[str, tuple[str, ...]] = {
    "TOP": (
        "class NAME : \n > BLOCK <", "if __name__ == '__main__' : \n > BLOCK <", "async def NAME ( ) : \n > BLOCK <",
        "from MODULE import WORD \n", "from . import NAME \n", "from torch import * \n", "return EXPR \n",
    ),
    "DECORATOR": ("@ NAME \n", "@ EXPR \n"),
    "PARAMS": (", * NAME", ", ** NAME", ", * , w", ", w = EXPR"),
    "HINTED": ("EXPR",),
    "STATEMENT": (
        "EXPR . WORD = EXPR \n", "while EXPR : \n > BLOCK <", "with EXPR as NAME : \n > BLOCK <", "raise \n", "del x [ EXPR ] \n",
        "try : \n > BLOCK < except NAME : \n > BLOCK <", "global NAME \n", "nonlocal NAME \n", "match NAME : \n > case x : \n > BLOCK < <",
        "yield EXPR \n", "break \n", "import os \n", "def NAME ( NAME ) : \n > BLOCK <", "EXPR \n",
    ),
    "EXPR": ("f'{x:>99}'", "f'{x!r:{y}}'", "* NAME", "await EXPR", "( yield )", "...", "EXPR . WORD", "torch", "b'x'", "1j", "print ( x )"),
    "NUMBER": ("9" * 25, "-1", "0777", "1_"),
    "TEXT": ("b'x'", "'\\d'", "'\\x1b[31m'", "'\u00e9'", "'\u202e'", "'" + "a" * 300 + "'"),
    "NAME": ("torch", "F", "math", "np", "print", "open", "self", "__import__", "_", "h\u00e9", "Tensor", "a" * 90, "compute_reward"),
    "WORD": ("item", "__class__", "load", "random", "nn", "linalg", "format", "backward", "T", "e" * 90),
    "METHOD": ("item", "__class__", "load", "numpy", "format", "zz"),
    "MODULE": ("os", "a.b.c", "torch.hub", "rewardsmith.jail", "numpy.linalg"),
}  # fmt: skip
_NOISE = (
    *"()[]{}'\"\\:;,.#@=+-*/<>~^&|%!? \t\n0_", "\r", "\0", "\u200b", "\u202e", "\ufeff", "\u00e9", "\u201c", "\uff45",
    "\U0001f600", "'''", "lambda", "import os", "__", "async ", "f'{", "# coding: x", "\x0c", "\ud800", "9" * 400,
)  # fmt: skip


def grown(rng: random.Random, *, wild: float = 0.02, depth: int = 9) -> str:
    """A source that follows the grammar; `wild` is the share of choices that lead to something the gate refuses."""
    out: list[str] = []
    _grow("FILE", rng, wild, depth, 0, out)
    return "".join(out)


def _grow(rule: str, rng: random.Random, wild: float, depth: int, indent: int, out: list[str]) -> None:
    options = _RULES[rule]
    if rule in _WILD and rng.random() < wild:
        options = _WILD[rule]
    elif depth <= 0:  # the first ones are the shortest
        options = options[:3]
    text = rng.choice(options)
    for word in [text] if rule in ("TEXT", "NUMBER") else text.split(" "):
        if word in _RULES:
            _grow(word, rng, wild, depth - 1, indent, out)
        elif word == "\n":
            out.append("\n" + "    " * indent)
        elif word in (">", "<") and rule in ("MAIN", "TOP", "STATEMENT"):
            indent += 1 if word == ">" else -1
            _reindent(out, indent)
        elif word:
            out.append(word + " ")


def _reindent(out: list[str], indent: int) -> None:
    """The line that is about to begin belongs to another block."""
    if out and out[-1].startswith("\n"):
        out[-1] = "\n" + "    " * indent
    else:
        out.append("\n" + "    " * indent)


def damaged(rng: random.Random, source: str, others: Sequence[str]) -> str:
    """`source` with one to six accidents: pieces lost, doubled, moved, replaced by noise or by pieces of `others`."""
    for _ in range(rng.randint(1, 6)):
        start = rng.randrange(len(source) + 1)
        end = min(len(source), start + rng.choice((0, 1, 1, 3, 10, 60)))
        piece = source[start:end]
        match rng.randrange(6):
            case 0:
                new = ""
            case 1:
                new = piece * rng.choice((2, 3, 40))
            case 2:
                new = rng.choice(_NOISE)
            case 3:
                other = rng.choice(others)
                place = rng.randrange(len(other) + 1)
                new = other[place : place + 40]
            case 4:
                new = rng.choice(_NOISE) * rng.choice((1, 5, 100))
            case _:
                lines = source.split("\n")
                rng.shuffle(lines)
                source, new, start, end = "\n".join(lines), "", 0, 0
        source = source[:start] + new + source[end:]
    return source
