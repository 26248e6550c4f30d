"""The example of the documentation, under a name that tests can import."""

from __future__ import annotations

import importlib.util
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "halving_method.py"

spec = importlib.util.spec_from_file_location("halving_method", EXAMPLE)
assert spec and spec.loader
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
Halving = module.Halving
