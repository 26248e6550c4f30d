"""The gate's walk over the syntax tree: what is not on a list is refused, the rest is rewritten into a canonical form.

The result uses library functions only as attributes of five names that no candidate can define (`__torch`, `__linalg`,
`__functional`, `__math`, `__toolkit`), has no imports, hints, decorators or docstrings, and calls `clamp` and `where`
as functions, so that the tracer can provide versions that accept parameters.
"""

from __future__ import annotations

import ast
import re
from difflib import get_close_matches

from rewardsmith.reward import vocabulary as words
from rewardsmith.reward.findings import finding
from rewardsmith.types import Finding, RewardInterface

MAX_STRING_CHARS = 200
MAX_FINDINGS = 12

_MODULES = {"torch", "math", "torch.nn", "torch.nn.functional", "torch.linalg", "rewardsmith.toolkit"}
_DEFAULT_NAMES = {"torch": ("torch",), "math": ("math",), "F": ("torch", "nn", "functional"), "nn": ("torch", "nn")}
_DROPPED_IMPORTS = {"typing", "__future__", "collections.abc", "rewardsmith.types"}
_FUNCTIONS: dict[tuple[str, ...], tuple[str, frozenset[str]]] = {
    ("torch",): ("__torch", words.TORCH_FUNCTIONS | words.TORCH_CONSTANTS),
    ("torch", "linalg"): ("__linalg", words.LINALG_FUNCTIONS),
    ("torch", "nn", "functional"): ("__functional", words.FUNCTIONAL_FUNCTIONS),
    ("math",): ("__math", words.MATH_FUNCTIONS | words.MATH_CONSTANTS),
    ("toolkit",): ("__toolkit", words.TOOLKIT),
}
_NO_OPS = {("torch", "no_grad"), ("torch", "inference_mode"), ("torch", "enable_grad")}
_DECORATORS = _NO_OPS | {("torch", "jit", "script"), ("torch", "jit", "export"), ("torch", "compile")}
_AS_FUNCTIONS = {"clamp", "clip", "clamp_min", "clamp_max", "where", "isclose"}  # x.clamp(...) -> torch.clamp(x, ...)
_ATTRIBUTES = words.TENSOR_METHODS | words.TENSOR_ATTRIBUTES | words.CONTAINER_METHODS

_STATEMENTS = (
    ast.FunctionDef, ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.If, ast.With, ast.Expr,
    ast.Pass, ast.Break, ast.Continue, ast.Assert, ast.Import, ast.ImportFrom,
)  # fmt: skip
_EXPRESSIONS = (
    ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Lambda, ast.IfExp, ast.Dict, ast.Set, ast.ListComp, ast.SetComp,
    ast.DictComp, ast.GeneratorExp, ast.Compare, ast.Call, ast.FormattedValue, ast.JoinedStr, ast.Constant,
    ast.Attribute, ast.Subscript, ast.Starred, ast.Name, ast.List, ast.Tuple, ast.Slice, ast.NamedExpr,
)  # fmt: skip
_PARTS = (
    ast.Module, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop, ast.comprehension, ast.arguments,
    ast.arg, ast.keyword, ast.withitem,
)  # fmt: skip
_STATEMENT_FIXES: dict[type[ast.AST], str] = {
    ast.While: "loops must have a fixed number of turns: for i in range(3)",
    ast.Try: "remove it: use torch.where or torch.nan_to_num for special values",
    ast.ClassDef: "use plain functions",
    ast.Raise: "remove it: a reward cannot fail for some rows; use torch.where",
    ast.Global: "keep values between steps in memory: see initial_memory(n)",
    ast.Nonlocal: "return the value instead",
    ast.Delete: "just stop using the value",
}


class Checker(ast.NodeTransformer):
    """Checks every node against the lists above and rewrites the tree on the way.

    A node of a kind that no list names is refused by `visit` before anything looks inside it.
    """

    def __init__(self, interface: RewardInterface) -> None:
        self.findings: list[Finding] = []
        self._features = {feature.name for feature in interface.features}
        self._aliases: dict[str, tuple[str, ...]] = {}
        self._scopes: list[set[str]] = []

    def check(self, tree: ast.Module) -> ast.Module:
        """Returns the rewritten tree; `findings` says whether it may be used."""
        self._collect_imports(tree)
        self._scopes = [_bound_names(tree)]
        tree.body = self._statements(tree.body)
        return tree

    # -- dispatch --

    def visit(self, node: ast.AST) -> ast.AST | None:
        if not isinstance(node, (*_STATEMENTS, *_EXPRESSIONS, *_PARTS)):
            name = type(node).__name__
            self._refuse(node, "gate.statement", f"`{name}` is not allowed", hint=_STATEMENT_FIXES.get(type(node), ""))
            return node
        return super().visit(node)

    def _statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Check a block; docstrings and imports vanish, a harmless `with` becomes its body."""
        kept: list[ast.stmt] = []
        for statement in body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                continue  # dealt with by _collect_imports
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            if isinstance(statement, ast.With):
                kept += self._with(statement)
            else:
                result = self.visit(statement)
                if isinstance(result, ast.stmt):
                    kept.append(result)
        return kept

    def _block(self, node: ast.AST, *fields: str) -> None:
        for name in fields:
            body = self._statements(getattr(node, name))
            setattr(node, name, body or ([ast.Pass()] if getattr(node, name) else []))

    def _refuse(self, node: ast.AST, id: str, message: str, *, hint: str = "") -> None:
        """Note a refusal; the same one is told once, at its first line."""
        known = any((found.id, found.message) == (id, message[:240]) for found in self.findings)
        if not known and len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding(id, message[:240], line=getattr(node, "lineno", None), hint=hint))

    # -- imports --

    def _collect_imports(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._import(node, alias.name, alias.asname)
            elif isinstance(node, ast.ImportFrom):
                self._import_from(node)

    def _import(self, node: ast.AST, module: str, asname: str | None) -> None:
        if module in _DROPPED_IMPORTS:
            return
        if module not in _MODULES:
            self._refuse_import(node, module)
        elif module == "rewardsmith.toolkit":
            self._aliases[asname or "rewardsmith"] = ("toolkit",) if asname else ("rewardsmith",)
        elif asname:
            self._aliases[asname] = tuple(module.split("."))
        else:
            self._aliases[module.split(".")[0]] = (module.split(".")[0],)

    def _import_from(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if module in _DROPPED_IMPORTS and not node.level:
            return
        for alias in node.names:
            path = f"{module}.{alias.name}"
            if (
                alias.name == "*"
                or node.level
                or (module not in _MODULES and path not in _MODULES and module != "rewardsmith")
            ):
                self._refuse_import(node, path)
                continue
            prefix = ("toolkit",) if module == "rewardsmith.toolkit" else tuple(module.split("."))
            full = ("toolkit",) if path == "rewardsmith.toolkit" else (*prefix, alias.name)
            if not (full in _FUNCTIONS or full == ("torch", "nn") or self._is_function(full) or full in _NO_OPS):
                self._refuse_import(node, path)
            self._aliases[alias.asname or alias.name] = full

    def _refuse_import(self, node: ast.AST, module: str) -> None:
        numpy = module.split(".")[0] in ("numpy", "scipy", "np")
        hint = "use torch: np.exp is torch.exp, np.linalg.norm(x) is torch.linalg.norm(x, dim=-1)" if numpy else ""
        self._refuse(node, "gate.import", f"`import {module[:60]}` is not available", hint=hint)

    # -- names and attributes --

    def _bound(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    def _path(self, node: ast.AST) -> tuple[str, ...] | None:
        """The module path that a dotted name means, such as ("torch", "nn", "functional", "relu"); None for values."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        root = self._aliases.get(node.id)
        if root is None and not self._bound(node.id):
            root = _DEFAULT_NAMES.get(node.id) or (("toolkit", node.id) if node.id in words.TOOLKIT else None)
        if root is None:
            return None
        path = (*root, *reversed(parts))
        return path[1:] if path[:2] == ("rewardsmith", "toolkit") else path

    @staticmethod
    def _is_function(path: tuple[str, ...]) -> bool:
        entry = _FUNCTIONS.get(path[:-1])
        return entry is not None and path[-1] in entry[1]

    def _resolved(self, node: ast.Name | ast.Attribute, path: tuple[str, ...]) -> ast.expr:
        """The canonical form of a library name, or a refusal."""
        if self._is_function(path):
            root = ast.Name(id=_FUNCTIONS[path[:-1]][0], ctx=ast.Load())
            return ast.copy_location(ast.Attribute(value=root, attr=path[-1], ctx=ast.Load()), node)
        if path in _FUNCTIONS or path == ("torch", "nn"):
            self._refuse(node, "gate.name", f"`{'.'.join(path)}` is a module, not a value")
        else:
            self._refuse(
                node, "gate.torch", f"`{'.'.join(path)[:80]}` is not allowed", hint=_suggest_function(path[-1])
            )
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        self._check_identifier(node, node.id)
        if isinstance(node.ctx, ast.Load):
            if path := self._path(node):
                return self._resolved(node, path)
            if not self._bound(node.id) and node.id not in words.BUILTINS:
                known = words.BUILTINS | words.TOOLKIT | set().union(*self._scopes)
                self._refuse(
                    node, "gate.name", f"the name `{node.id[:60]}` is not known", hint=_suggest(node.id, known)
                )
        elif node.id in self._aliases:
            self._refuse(node, "gate.name", f"`{node.id[:60]}` is imported and assigned", hint="use another name")
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self._check_identifier(node, node.attr)
        if isinstance(node.ctx, ast.Load) and (path := self._path(node)):
            return self._resolved(node, path)
        if not isinstance(node.ctx, ast.Load):
            self._refuse(node, "gate.attribute", "attributes cannot be assigned")
        elif node.attr not in _ATTRIBUTES:
            hint = _suggest(node.attr, _ATTRIBUTES)
            self._refuse(node, "gate.attribute", f"`.{node.attr[:60]}` is not allowed", hint=hint)
        node.value = self._expression(node.value)
        return node

    def _expression(self, node: ast.expr) -> ast.expr:
        result = self.visit(node)
        assert isinstance(result, ast.expr)
        return result

    def _check_identifier(self, node: ast.AST, name: str) -> None:
        if not name.isascii():
            self._refuse(node, "gate.encoding", f"the name {ascii(name)[:60]} is not plain ASCII")
        elif name.startswith("__") or len(name) > 80:
            self._refuse(node, "gate.name", f"`{name[:60]}`: names may not start with two underscores or be very long")

    # -- calls and constants --

    def visit_Call(self, node: ast.Call) -> ast.expr:
        method = node.func
        if isinstance(method, ast.Attribute) and method.attr in _AS_FUNCTIONS and self._path(method) is None:
            receiver = method.value
            node.func = ast.copy_location(
                ast.Attribute(value=ast.Name(id="__torch", ctx=ast.Load()), attr=method.attr, ctx=ast.Load()), method
            )
            arguments = [receiver, *node.args]
            if method.attr == "where" and node.args:  # x.where(condition, other) is torch.where(condition, x, other)
                arguments = [node.args[0], receiver, *node.args[1:]]
            node.args = [self._expression(argument) for argument in arguments]
        else:
            node.func = self._expression(method)
            node.args = [self._expression(argument) for argument in node.args]
        for keyword in node.keywords:
            if keyword.arg is not None:
                self._check_identifier(keyword.value, keyword.arg)
            keyword.value = self._expression(keyword.value)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        value = node.value
        if isinstance(value, str):
            if len(value) > MAX_STRING_CHARS:
                self._refuse(node, "gate.size", f"a text of {len(value):,} characters")
            elif not (value.isascii() and (value.isprintable() or value == "")):
                self._refuse(node, "gate.encoding", "a text with characters other than printable ASCII")
        elif isinstance(value, int) and abs(value) >= 2**63:
            self._refuse(node, "gate.size", "an integer of more than 64 bits")
        elif isinstance(value, (bytes, complex)):
            self._refuse(node, "gate.statement", f"{type(value).__name__} values are not allowed")
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        spec = node.format_spec
        if spec is not None:
            parts = spec.values if isinstance(spec, ast.JoinedStr) else []
            text = parts[0].value if len(parts) == 1 and isinstance(parts[0], ast.Constant) else None
            if not (isinstance(text, str) and re.fullmatch(r"[0-9]{0,2}(\.[0-9])?[a-z]?", text)):
                self._refuse(node, "gate.statement", "a complicated format in an f-string", hint="use a plain {name}")
        node.value = self._expression(node.value)
        return node

    # -- statements --

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        self._check_identifier(node, node.name)
        for decorator in node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            if self._path(target) not in _DECORATORS:
                self._refuse(decorator, "gate.statement", "this decorator is not allowed", hint="remove the decorator")
        node.decorator_list, node.returns, node.type_comment = [], None, None
        self._arguments(node.args)
        self._scopes.append(_bound_names(node))
        self._block(node, "body")
        self._scopes.pop()
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        self._arguments(node.args)
        self._scopes.append({argument.arg for argument in _all_arguments(node.args)})
        node.body = self._expression(node.body)
        self._scopes.pop()
        return node

    def _arguments(self, arguments: ast.arguments) -> None:
        for argument in _all_arguments(arguments):
            self._check_identifier(argument, argument.arg)
            argument.annotation = argument.type_comment = None
        for extra in (arguments.vararg, arguments.kwarg):
            if extra is not None:
                self._refuse(extra, "gate.signature", "functions may not take *args or **kwargs")
        arguments.defaults = [self._expression(default) for default in arguments.defaults]
        arguments.kw_defaults = [default and self._expression(default) for default in arguments.kw_defaults]

    def visit_If(self, node: ast.If) -> ast.stmt:
        node.test = self._expression(node.test)
        self._block(node, "body", "orelse")
        return node

    def visit_For(self, node: ast.For) -> ast.stmt:
        node.target, node.iter = self._expression(node.target), self._expression(node.iter)
        node.type_comment = None
        self._block(node, "body", "orelse")
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        node.type_comment = None
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | None:
        if node.value is None:
            return None
        assign = ast.Assign(targets=[self._expression(node.target)], value=self._expression(node.value))
        return ast.copy_location(assign, node)

    def _with(self, node: ast.With) -> list[ast.stmt]:
        for item in node.items:
            call = item.context_expr
            path = self._path(call.func) if isinstance(call, ast.Call) and not (call.args or call.keywords) else None
            if path not in _NO_OPS or item.optional_vars is not None:
                self._refuse(node, "gate.statement", "`with` is allowed for torch.no_grad() only", hint="remove it")
                return []
        return self._statements(node.body)


def _all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    extra = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra]


def _bound_names(scope: ast.Module | ast.FunctionDef) -> set[str]:
    """Names that a scope binds itself: arguments, assignments, loop targets, functions (inner ones not looked into)."""
    names: set[str] = set()
    if isinstance(scope, ast.FunctionDef):
        names.update(argument.arg for argument in _all_arguments(scope.args))
    frontier: list[ast.AST] = list(scope.body)
    while frontier:
        node = frontier.pop()
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        frontier += ast.iter_child_nodes(node)
    return names


def _suggest_function(name: str) -> str:
    """The function that was meant, with the module it is in."""
    prefixes = {"torch": "torch", "torch.linalg": "torch.linalg", "torch.nn.functional": "F", "math": "math"}
    known = {
        function: f"{prefixes[module]}.{function}" if module in prefixes else function
        for path, (_, functions) in reversed(_FUNCTIONS.items())
        for function in functions
        if (module := ".".join(path))
    }
    if name in words.INSTEAD:
        return words.INSTEAD[name]
    close = [known[match] for match in get_close_matches(name, known, n=2, cutoff=0.7)]
    return f"did you mean {' or '.join(close)}?" if close else ""


def _suggest(name: str, known: frozenset[str] | set[str]) -> str:
    if name in words.INSTEAD:
        return words.INSTEAD[name]
    close = get_close_matches(name, known, n=2, cutoff=0.7)
    return f"did you mean {' or '.join(close)}?" if close else ""
