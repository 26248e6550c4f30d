"""Runs in the jail: notices candidate code that decides by the number of rows, even where torch sees no question.

torch takes symbolic sizes to be at least 2, so that `x.shape[0] == 1` is simply False while tracing and no guard is
left behind. Inside torch that is right (sizes of 1 are checked by the loader); in a reward it hides a branch.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from sympy import Integer
from torch.fx.experimental import sym_node
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from rewardsmith.reward.contract import Mistake
from rewardsmith.reward.lines import current_line

_BETWEEN = frozenset({__file__, sym_node.__file__, torch.__file__})


class DecisionWatch(ShapeEnv):
    """A shape environment that refuses comparisons of sizes which come out differently for other numbers of rows.

    Args:
        asked_by: file name of the code whose comparisons are watched.
        sizes: numbers of rows to try.
    """

    def __init__(self, *, asked_by: str, sizes: tuple[int, ...], **options: Any) -> None:
        super().__init__(**options)
        self._asked_by, self._tried = asked_by, sizes
        self.guard_lines: list[int | None] = []  # line of the watched code behind each guard

    def evaluate_sym_node(self, sym_node: Any, *args: Any, **kwargs: Any) -> Any:
        """As in torch.

        Raises:
            Mistake: `trace.batch_size`, for the watched code.
        """
        value = super().evaluate_sym_node(sym_node, *args, **kwargs)
        self.guard_lines += [current_line(self._asked_by)] * (len(self.guards) - len(self.guard_lines))
        symbols = sym_node.expr.free_symbols
        if symbols and self._asked_directly():
            named = {int(number) + more for number in sym_node.expr.atoms(Integer) for more in (-1, 0, 1)}
            tried = (*self._tried, *(n for n in named if n > 0))  # `n == 97` shows at 97 only
            others = (sym_node.expr.subs(dict.fromkeys(symbols, n)) for n in tried)
            if any(bool(other) != bool(value) for other in others):
                raise Mistake("trace.batch_size", "it decides by the number of rows")
        return value

    def _asked_directly(self) -> bool:
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename in _BETWEEN:
            frame = frame.f_back
        return frame is not None and frame.f_code.co_filename == self._asked_by
