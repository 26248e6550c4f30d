"""What the library names in a source file mean, whatever they are imported as, and what to write instead of others."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Protocol

from rewardsmith.reward import vocabulary as words

Path = tuple[str, ...]  # a dotted name, resolved: ("torch", "nn", "functional", "relu")

FUNCTIONS: dict[Path, tuple[str, frozenset[str]]] = {
    ("torch",): ("__torch", words.TORCH_FUNCTIONS | words.TORCH_CONSTANTS),
    ("torch", "linalg"): ("__linalg", words.LINALG_FUNCTIONS),
    ("torch", "nn", "functional"): ("__functional", words.FUNCTIONAL_FUNCTIONS),
    ("math",): ("__math", words.MATH_FUNCTIONS | words.MATH_CONSTANTS),
    ("toolkit",): ("__toolkit", words.TOOLKIT),
}
NO_OPS = {("torch", "no_grad"), ("torch", "inference_mode"), ("torch", "enable_grad")}
DECORATORS = NO_OPS | {("torch", "jit", "script"), ("torch", "jit", "export"), ("torch", "compile")}

_MODULES = {"torch", "math", "torch.nn", "torch.nn.functional", "torch.linalg", "rewardsmith.toolkit"}
_DEFAULT_NAMES: dict[str, Path] = {
    "torch": ("torch",),
    "math": ("math",),
    "F": ("torch", "nn", "functional"),
    "nn": ("torch", "nn"),
    "np": ("numpy",),
}
_HINTS = {"typing", "typing_extensions", "__future__", "collections.abc", "rewardsmith.types"}


def statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """All statements of a tree, outer ones first, without a look into expressions."""
    frontier: deque[ast.AST] = deque([tree])
    while frontier:
        node = frontier.popleft()
        if isinstance(node, ast.stmt):
            yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            inside = getattr(node, block, None)
            if isinstance(inside, list):
                frontier.extend(inside)


class Refuse(Protocol):
    """How a refusal is noted; the hint may be made late, because good ones take time to find."""

    def __call__(self, node: ast.AST, id: str, message: str, *, hint: str | Callable[[], str] = "") -> None: ...


class Library:
    """The imports of one file.

    Attributes:
        aliases: name in the file -> what it means. Numpy is among them: an unused import of it does no harm.
        hints: names that exist for type hints only.
    """

    def __init__(self, tree: ast.Module, refuse: Refuse) -> None:
        self.aliases: dict[str, Path] = {}
        self.hints: set[str] = set()
        self._refuse = refuse
        for node in statements(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._import(node, alias.name, alias.asname)
            elif isinstance(node, ast.ImportFrom):
                self._import_from(node)

    def _import(self, node: ast.AST, module: str, asname: str | None) -> None:
        if module in _HINTS:
            self.hints.add(asname or module.split(".")[0])
        elif module not in _MODULES | {"numpy"}:
            self._refuse_import(node, module)
        elif module == "rewardsmith.toolkit":
            self.aliases[asname or "rewardsmith"] = ("toolkit",) if asname else ("rewardsmith",)
        elif asname:
            self.aliases[asname] = tuple(module.split("."))
        else:
            self.aliases[module.split(".")[0]] = (module.split(".")[0],)

    def _import_from(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if module in _HINTS and not node.level:
            self.hints |= {alias.asname or alias.name for alias in node.names}
            return
        for alias in node.names:
            path = f"{module}.{alias.name}"
            known = module in _MODULES or path in _MODULES or module in ("rewardsmith", "numpy")
            if alias.name == "*" or node.level or not known:
                self._refuse_import(node, path)
                continue
            prefix = ("toolkit",) if module == "rewardsmith.toolkit" else tuple(module.split("."))
            full = ("toolkit",) if path == "rewardsmith.toolkit" else (*prefix, alias.name)
            if not (full in FUNCTIONS or full in NO_OPS | {("torch", "nn")} or is_function(full) or is_numpy(full)):
                self._refuse_import(node, path)
            self.aliases[alias.asname or alias.name] = full

    def _refuse_import(self, node: ast.AST, module: str) -> None:
        hint = _NO_NUMPY if module.split(".")[0] in ("numpy", "scipy", "jax", "tensorflow") else ""
        self._refuse(node, "gate.import", f"`import {module[:60]}` is not available", hint=hint)

    def path(self, node: ast.AST, bound: Callable[[str], bool]) -> Path | None:
        """What a dotted name means; None for values. `bound` tells which names the file defines itself."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        root = self.aliases.get(node.id)
        if root is None and not bound(node.id):
            root = _DEFAULT_NAMES.get(node.id) or (("toolkit", node.id) if node.id in words.TOOLKIT else None)
        if root is None:
            return None
        path = (*root, *reversed(parts))
        return path[1:] if path[:2] == ("rewardsmith", "toolkit") else path

    def resolved(self, node: ast.Name | ast.Attribute, path: Path) -> ast.expr:
        """The canonical form of a library name, or a refusal."""
        if len(path) == 2 and is_numpy(path) and path[1] in words.MATH_CONSTANTS:
            path = ("math", path[1])
        if is_function(path):
            root = ast.Name(id=FUNCTIONS[path[:-1]][0], ctx=ast.Load())
            return ast.copy_location(ast.Attribute(value=root, attr=path[-1], ctx=ast.Load()), node)
        name = ".".join(path)[:80]
        if is_numpy(path):
            self._refuse(node, "gate.import", f"`{name}`: there is no numpy", hint=lambda: _instead_of_numpy(path))
        elif path in FUNCTIONS or path == ("torch", "nn"):
            self._refuse(node, "gate.name", f"`{name}` is a module, not a value")
        else:
            self._refuse(node, "gate.torch", f"`{name}` is not allowed", hint=lambda: suggest_function(path[-1]))
        return node


def is_function(path: Path) -> bool:
    entry = FUNCTIONS.get(path[:-1])
    return entry is not None and path[-1] in entry[1]


def is_numpy(path: Path) -> bool:
    return path[0] == "numpy"


# --- what to write instead -----------------------------------------------------------------------------------------

_PREFIXES = {"torch": "torch", "torch.linalg": "torch.linalg", "torch.nn.functional": "F", "math": "math"}
_SPELLED = {
    function: f"{_PREFIXES[module]}.{function}" if module in _PREFIXES else function
    for path, (_, functions) in reversed(FUNCTIONS.items())
    for function in functions
    if (module := ".".join(path))
}
_NO_NUMPY = "use torch: np.exp is torch.exp, np.linalg.norm(x) is torch.linalg.norm(x, dim=-1)"
_NUMPY_NAMES = {
    "array": "torch.tensor",
    "asarray": "torch.as_tensor",
    "power": "torch.pow",
    "absolute": "torch.abs",
    "norm": "torch.linalg.norm(x, dim=-1)",
    "float64": "torch.float32",
}


def suggest_function(name: str) -> str:
    """The function that was meant by an unknown last part of a dotted name, with the module it is in."""
    if name in words.INSTEAD:
        return words.INSTEAD[name]
    close = [_SPELLED[match] for match in get_close_matches(name[:80], _SPELLED, n=2, cutoff=0.7)]
    return f"did you mean {' or '.join(close)}?" if close else ""


def suggest(name: str, known: frozenset[str] | set[str]) -> str:
    """The name out of `known` that was meant."""
    if name in words.INSTEAD:
        return words.INSTEAD[name]
    close = get_close_matches(name[:80], known, n=2, cutoff=0.7)
    return f"did you mean {' or '.join(close)}?" if close else ""


def _instead_of_numpy(path: Path) -> str:
    name = path[-1]
    found = _NUMPY_NAMES.get(name) or _SPELLED.get(name)
    return f"use torch: write {found}" if found else suggest_function(name) or _NO_NUMPY
