"""The architecture's rules, checked against the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rewardsmith

PACKAGE = Path(rewardsmith.__file__).parent
FLOORS = {
    "resources": 0, "types": 0, "errors": 0, "config": 0, "stats": 0, "budget": 0,
    "store": 1, "jail": 1, "engine": 1,
    "reward": 2, "envs": 2, "llm": 2, "bank": 2, "toolkit": 2,
    "design": 3, "critic": 3, "train": 3, "analyze": 3, "tune": 3, "prefer": 3,
    "export": 4, "blend": 4, "clips": 4,
    "loop": 5,
    "cli": 6, "web": 6,
}  # fmt: skip
SAME_FLOOR = {("bank", "envs"), ("toolkit", "reward"), ("budget", "types"), ("budget", "errors"), ("config", "types")}
SAME_FLOOR |= {("config", "budget"), ("stats", "errors"), ("cli", "web")}


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


def imported_rooms(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("rewardsmith."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("rewardsmith.")}
    return names


MODULES = sorted(
    p for p in PACKAGE.rglob("*.py") if ("_bundled" not in p.parts and p.parent != PACKAGE) or p.stem in FLOORS
)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_package_imports_only_from_floors_below(path: Path) -> None:
    here = room(path)
    assert here in FLOORS, f"{here} has no floor: add it to the table and to the design"
    for other in imported_rooms(path) - {here}:
        assert FLOORS[other] < FLOORS[here] or (here, other) in SAME_FLOOR, f"{here} must not import {other}"


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "module",
    [
        "rewardsmith",
        "rewardsmith.types",
        "rewardsmith.store",
        "rewardsmith.jail",
        "rewardsmith.engine",
        "rewardsmith.cli",
    ],
)
def test_importing_it_loads_no_torch(module: str) -> None:
    assert run_python(f"import sys, {module}; print('torch' in sys.modules)") == "False"


def test_public_functions_exist_and_share_no_name_with_a_package() -> None:
    for name in rewardsmith.__all__:
        assert callable(getattr(rewardsmith, name))
        assert name not in FLOORS


def test_every_package_says_what_it_does() -> None:
    for init in PACKAGE.rglob("__init__.py"):
        if "_bundled" not in init.parts:
            assert ast.get_docstring(ast.parse(init.read_text())), f"{init.relative_to(PACKAGE)} has no docstring"


def test_every_setting_is_documented() -> None:
    import runpy

    script = runpy.run_path(str(PACKAGE.parent / "scripts" / "document_settings.py"))
    written = (PACKAGE.parent / "docs" / "configuration.md").read_text()
    assert written == script["document"](), "run scripts/document_settings.py"
    for _, _, model in script["SECTIONS"]:
        assert all(field.description for field in model.model_fields.values())
