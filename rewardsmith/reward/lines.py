"""Runs in the jail: which line of the candidate's source is being executed, for messages only."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from torch.fx.experimental.proxy_tensor import get_proxy_mode

LINE = "reward_line"  # key in the meta data of a traced node


def current_line(file: str) -> int | None:
    """The line at which the innermost running function of `file` is."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back
    return frame and frame.f_lineno


def note_lines(file: str) -> None:
    """From now on the running trace notes with every node which line of `file` made it."""
    mode = get_proxy_mode()
    graph: Any = mode.tracer.graph if mode is not None else None
    if graph is None:
        return
    create = graph.create_node

    def create_node(*args: Any, **kwargs: Any) -> Any:
        node = create(*args, **kwargs)
        node.meta[LINE] = current_line(file)
        return node

    graph.create_node = create_node
