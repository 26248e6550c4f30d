"""Where bundled data lies: inside the installed package, else beside it in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def resource_root(kind: Literal["prompts", "envs"]) -> Path:
    """The bundled folder `kind`."""
    package = Path(__file__).resolve().parent
    packaged = package / "_bundled" / kind
    return packaged if packaged.is_dir() else package.parent / kind
