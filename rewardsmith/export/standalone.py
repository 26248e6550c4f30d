"""A pack's feature code without its imports from rewardsmith."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

from rewardsmith.errors import EnvironmentFault

_SUPPORT = '''\
"""The type that feature code declares its features with."""

from typing import NamedTuple


class FeatureSpec(NamedTuple):
    """One named feature: shape per row, range, unit and a line of meaning."""

    name: str
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    low: float | None = None
    high: float | None = None
    unit: str = ""
    about: str = ""
'''
_TYPES = "rewardsmith.types"
_TYPES_OFFERED = {"FeatureSpec"}
_TAKEN = {"features", "interpreter", "gym_wrapper", "policy", "reward", "pack_features", "feature_types"}


def standalone_files(source: str, where: str) -> dict[str, str]:
    """`pack_features.py` and the modules that it needs, by file name.

    Raises: EnvironmentFault: it imports parts of rewardsmith that cannot be taken along.
    """
    files: dict[str, str] = {}
    lines = source.splitlines()
    for node in sorted(_rewardsmith_imports(source), key=lambda n: n.lineno, reverse=True):
        name = _take_along(node, where, files)
        names = ", ".join(a.name + (f" as {a.asname}" if a.asname else "") for a in node.names)
        replacement = f"{' ' * node.col_offset}from {name} import {names}"
        lines[node.lineno - 1 : (node.end_lineno or node.lineno)] = [replacement]
    return {"pack_features.py": "\n".join(lines) + "\n", **files}


def _rewardsmith_imports(source: str) -> list[ast.ImportFrom | ast.Import]:
    return [
        node
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rewardsmith")
        or (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "rewardsmith" for a in node.names))
    ]


def _take_along(node: ast.ImportFrom | ast.Import, where: str, files: dict[str, str]) -> str:
    """Add the module that an import needs to `files`; returns the name it has there."""
    if isinstance(node, ast.Import) or node.module is None:
        raise _fault(where, f"line {node.lineno}: `import rewardsmith...`")
    if node.module == _TYPES and {a.name for a in node.names} <= _TYPES_OFFERED:
        files["feature_types.py"] = _SUPPORT
        return "feature_types"
    name = node.module.rpartition(".")[2]
    found = importlib.util.find_spec(node.module)
    text = Path(found.origin).read_text(encoding="utf-8") if found is not None and found.origin else ""
    if not text or _rewardsmith_imports(text) or name in _TAKEN or name in sys.stdlib_module_names:
        raise _fault(where, f"line {node.lineno}: from {node.module}")
    files[f"{name}.py"] = text
    return name


def _fault(where: str, what: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"{where} cannot be exported: it needs rewardsmith ({what})",
        hint="let features.py import only torch, FeatureSpec, and modules that need nothing else of rewardsmith",
    )
