"""One hostile reward: what it is after, its source, and who refuses it when the gate is on.

Sources are whole files that would be accepted without their hostile lines. Words in @ are filled in by the test that
runs them: @CANARY@ (a file with a secret in it), @FOLDER@ (its folder), @PORT@ (a listening port of 127.0.0.1), @UNIX@
(a listening unix socket), @SHM@ (a block of shared memory), @PARENT@ and @ZYGOTE@ (process ids).
Whatever a case has stolen it returns, raises or calls a component by.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Layer = Literal["gate", "tracer", "loader"]

OK = 'return h, {"h": h}'


class Case(NamedTuple):
    """`aim` completes the sentence "if it worked, it would ..."; `layer` is the wall that refuses it first."""

    aim: str
    code: str
    layer: Layer = "gate"


def hostile(aim: str, *lines: str, top: str = "", layer: Layer = "gate") -> Case:
    """A reward of the height whose body starts with `lines` and whose file starts with `top`."""
    body = ['h = next_obs["height"]', *(part for line in lines for part in line.split("\n")), OK]
    source = "def compute_reward(obs, action, next_obs):\n" + "".join(f"    {line}\n" for line in body)
    return Case(aim, f"{top}\n{source}" if top else source, layer)
