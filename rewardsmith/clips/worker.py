"""`python -m rewardsmith.clips.worker`: draws the films that it is told to on stdin, one JSON line each."""

from __future__ import annotations

import functools
import os
import select
import sys
import traceback
from pathlib import Path

from rewardsmith.clips.clip import load_clip
from rewardsmith.clips.drawing import film
from rewardsmith.clips.painter import Order, Reply
from rewardsmith.envs import Environment, resolve_env
from rewardsmith.errors import RewardsmithError, RunError
from rewardsmith.store import write_bytes
from rewardsmith.types import EnvSpec

IDLE_S = 60.0  # without an order, after which it ends


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # environments print
    while select.select([sys.stdin], [], [], IDLE_S)[0] and (line := sys.stdin.readline()):
        print(_answer(Order.model_validate_json(line)).model_dump_json(), file=replies, flush=True)


def _answer(order: Order) -> Reply:
    try:
        clip = load_clip(Path(order.clip), root=Path(order.root))
        environment = _environment(order.env.model_dump_json())
        write_bytes(Path(order.target), film(environment, clip, size=order.size, overlay=order.overlay))
    except RewardsmithError as error:
        return Reply(error=error.message, hint=error.hint, about_run=isinstance(error, RunError))
    except Exception as error:  # the process's boundary
        traceback.print_exc()
        return Reply(error=f"drawing the film failed: {type(error).__name__}: {error}", hint="see the traceback")
    return Reply()


@functools.cache
def _environment(spec: str) -> Environment:
    """Built once."""
    parsed = EnvSpec.model_validate_json(spec)
    return resolve_env(parsed.name, kwargs=parsed.kwargs)


if __name__ == "__main__":
    main()
