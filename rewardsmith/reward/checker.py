"""The gate's walk over the syntax tree: what is not on a list is refused, the rest is rewritten into a canonical form.

The result uses library functions only as attributes of six names that no candidate can define (`__torch`, `__linalg`,
`__functional`, `__math`, `__toolkit`), has no imports, hints, decorators, docstrings or prints, and calls `clamp` and
`where` as functions, so that the tracer can provide versions that accept parameters. `x[mask] += 1` becomes a call as
well (of the sixth name, `__update`), because as it stands it selects a number of rows that depends on data.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import TypeGuard

from rewardsmith.reward import vocabulary as words
from rewardsmith.reward.findings import finding
from rewardsmith.reward.library import DECORATORS, NO_OPS, Library, Path, suggest
from rewardsmith.types import Finding, RewardInterface

MAX_STRING_CHARS = 200
MAX_FINDINGS = 12

_AS_FUNCTIONS = {"clamp", "clip", "clamp_min", "clamp_max", "where", "isclose"}  # x.clamp(...) -> torch.clamp(x, ...)
_ATTRIBUTES = words.TENSOR_METHODS | words.TENSOR_ATTRIBUTES | words.CONTAINER_METHODS

_STATEMENTS = (
    ast.FunctionDef, ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.If, ast.With, ast.Expr,
    ast.Pass, ast.Break, ast.Continue, ast.Assert, ast.Raise, ast.Delete, ast.Import, ast.ImportFrom,
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
    ast.Global: "keep values between steps in memory: see initial_memory(n)",
    ast.Nonlocal: "return the value instead",
}
_NOT_RUN = "remove it: the file is never run as a program"
_FORMAT_SPEC = re.compile(r"[0-9]{0,2}(\.[0-9])?[a-z]?")
_EXCEPTIONS = {
    "AssertionError",
    "Exception",
    "KeyError",
    "NotImplementedError",
    "RuntimeError",
    "TypeError",
    "ValueError",
}
_MASKS = (ast.Name, ast.Compare, ast.BinOp, ast.UnaryOp, ast.Call, ast.Subscript)  # how x[...] may be given a mask
_UPDATES: dict[type[ast.operator], str] = {
    ast.Add: "iadd",
    ast.Sub: "isub",
    ast.Mult: "imul",
    ast.Div: "itruediv",
}


_KNOWN = {*_STATEMENTS, *_EXPRESSIONS, *(kind for part in _PARTS for kind in (part, *part.__subclasses__()))}


class _Enough(Exception):
    """There are as many findings as anybody reads."""


class Checker(ast.NodeTransformer):
    """Checks every node against the lists above and rewrites the tree on the way.

    A node of a kind that no list names is refused by `visit` before anything looks inside it.
    """

    def __init__(self, interface: RewardInterface) -> None:
        self.findings: list[Finding] = []
        self._features = {feature.name for feature in interface.features}
        self._scopes: list[set[str]] = []

    def check(self, tree: ast.Module) -> ast.Module:
        """Returns the rewritten tree; `findings` says whether it may be used."""
        try:
            self._library = Library(tree, self._refuse)
            self._scopes = [_bound_names(tree)]
            tree.body = self._statements(tree.body)
        except _Enough:
            pass
        return tree

    # -- dispatch --

    def visit(self, node: ast.AST) -> ast.AST | None:
        if type(node) not in _KNOWN:
            name = type(node).__name__
            self._refuse(node, "gate.statement", f"`{name}` is not allowed", hint=_STATEMENT_FIXES.get(type(node), ""))
            return node
        return super().visit(node)

    def _statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Check a block; docstrings, imports, prints and type aliases vanish, a harmless `with` becomes its body."""
        kept: list[ast.stmt] = []
        for statement in body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                continue  # dealt with by Library
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            if self._is_type_alias(statement):
                continue
            if isinstance(statement, ast.Expr) and self._is_print(statement.value):
                self._call_arguments(statement.value)
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
            setattr(node, name, body or ([ast.copy_location(ast.Pass(), node)] if getattr(node, name) else []))

    def _is_type_alias(self, node: ast.stmt) -> bool:
        """`Features = Dict[str, Tensor]`, of use in type hints only."""
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        while isinstance(value, (ast.Subscript, ast.Attribute)):
            value = value.value
        return isinstance(value, ast.Name) and value.id in self._library.hints

    def _is_print(self, node: ast.expr) -> TypeGuard[ast.Call]:
        name = node.func if isinstance(node, ast.Call) else None
        return isinstance(name, ast.Name) and name.id == "print" and not self._bound("print")

    def _refuse(self, node: ast.AST, id: str, message: str, *, hint: str | Callable[[], str] = "") -> None:
        """Note a refusal; the same one is told once, at its first line.

        Raises:
            _Enough: there are MAX_FINDINGS.
        """
        if any((found.id, found.message) == (id, message[:240]) for found in self.findings):
            return
        hint = hint if isinstance(hint, str) else hint()
        self.findings.append(finding(id, message[:240], line=getattr(node, "lineno", None), hint=hint))
        if len(self.findings) >= MAX_FINDINGS:
            raise _Enough

    # -- names and attributes --

    def _bound(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    def _path(self, node: ast.AST) -> Path | None:
        return self._library.path(node, self._bound)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if not self._check_identifier(node, node.id):
            return node
        if not isinstance(node.ctx, ast.Load):
            self._check_not_imported(node, node.id)
        elif path := self._path(node):
            return self._library.resolved(node, path)
        elif not self._bound(node.id) and node.id not in words.BUILTINS:
            self._refuse(
                node,
                "gate.name",
                f"the name `{node.id[:60]}` is not known",
                hint=lambda: suggest(node.id, words.BUILTINS | words.TOOLKIT | set().union(*self._scopes)),
            )
        return node

    def _check_not_imported(self, node: ast.AST, name: str) -> None:
        if name in self._library.aliases:
            self._refuse(node, "gate.name", f"`{name[:60]}` is imported and assigned", hint="use another name")

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if not self._check_identifier(node, node.attr):
            return node
        if isinstance(node.ctx, ast.Load) and (path := self._path(node)):
            return self._library.resolved(node, path)
        if not isinstance(node.ctx, ast.Load):
            self._refuse(node, "gate.attribute", "attributes cannot be assigned")
        elif node.attr not in _ATTRIBUTES:
            hint = lambda: suggest(node.attr, _ATTRIBUTES)
            self._refuse(node, "gate.attribute", f"`.{node.attr[:60]}` is not allowed", hint=hint)
        node.value = self._expression(node.value)
        return node

    def _expression(self, node: ast.expr) -> ast.expr:
        result = self.visit(node)
        assert isinstance(result, ast.expr)
        return result

    def _check_identifier(self, node: ast.AST, name: str) -> bool:
        if not name.isascii():
            self._refuse(node, "gate.encoding", f"the name {ascii(name)[:60]} is not plain ASCII")
        elif name.startswith("__") or len(name) > 80:
            hint = _NOT_RUN if name in ("__name__", "__all__") else ""
            self._refuse(
                node, "gate.name", f"`{name[:60]}`: names may not start with two underscores or be very long", hint=hint
            )
        else:
            return True
        return False

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
            node.args = arguments
        else:
            if self._path(method) == ("torch", "Tensor"):  # torch.Tensor(3) is memory nobody has written to
                self._refuse(node, "gate.torch", "`torch.Tensor` cannot be called", hint=words.INSTEAD["Tensor"])
            node.func = self._expression(method)
        self._call_arguments(node)
        return node

    def _call_arguments(self, node: ast.Call) -> None:
        node.args = [self._expression(argument) for argument in node.args]
        for keyword in node.keywords:
            if keyword.arg is not None:
                self._check_identifier(keyword.value, keyword.arg)
            keyword.value = self._expression(keyword.value)

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

    def visit_Set(self, node: ast.Set) -> ast.expr:
        """The order of most things in a set follows their addresses, which differ from run to run."""
        if not all(isinstance(e, ast.Constant) and isinstance(e.value, (str, int, float)) for e in node.elts):
            self._refuse_set(node)
        self.generic_visit(node)
        return node

    def visit_SetComp(self, node: ast.SetComp) -> ast.expr:
        self._refuse_set(node)
        return node

    def _refuse_set(self, node: ast.AST) -> None:
        hint = "use a list or a tuple"
        self._refuse(node, "gate.statement", "a set of anything but literals, whose order is not defined", hint=hint)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        spec = node.format_spec
        if spec is not None:
            parts = spec.values if isinstance(spec, ast.JoinedStr) else []
            text = parts[0].value if len(parts) == 1 and isinstance(parts[0], ast.Constant) else None
            if not (isinstance(text, str) and _FORMAT_SPEC.fullmatch(text)):
                self._refuse(node, "gate.statement", "a complicated format in an f-string", hint="use a plain {name}")
        node.value = self._expression(node.value)
        return node

    # -- statements --

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        self._check_identifier(node, node.name)
        for decorator in node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            if self._path(target) not in DECORATORS:
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
            if self._check_identifier(argument, argument.arg):
                self._check_not_imported(argument, argument.arg)
            argument.annotation = argument.type_comment = None
        arguments.defaults = [self._expression(default) for default in arguments.defaults]
        arguments.kw_defaults = [default and self._expression(default) for default in arguments.kw_defaults]

    def visit_If(self, node: ast.If) -> ast.stmt:
        if any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test)):
            self._refuse(node, "gate.statement", 'a block `if __name__ == "__main__":`', hint=_NOT_RUN)
            return node
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

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        self.generic_visit(node)
        target, update = node.target, _UPDATES.get(type(node.op))
        if not (isinstance(target, ast.Subscript) and isinstance(target.slice, _MASKS) and update):
            return node
        function = ast.Attribute(value=ast.Name(id="__update", ctx=ast.Load()), attr=update, ctx=ast.Load())
        call = ast.Call(func=function, args=[target.value, target.slice, node.value], keywords=[])
        return ast.copy_location(ast.Expr(value=call), node)

    def visit_Raise(self, node: ast.Raise) -> ast.stmt:
        """As an assertion that fails: a check of shapes that does not apply costs nothing."""
        name = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        if not (isinstance(name, ast.Name) and name.id in _EXCEPTIONS and not self._bound(name.id)):
            hint = "remove it: a reward cannot fail for some rows; use torch.where"
            self._refuse(node, "gate.statement", "only `raise ValueError(...)` and the like are allowed", hint=hint)
            return node
        if isinstance(node.exc, ast.Call):
            self._call_arguments(node.exc)
        message = node.exc.args[0] if isinstance(node.exc, ast.Call) and node.exc.args else None
        return ast.copy_location(ast.Assert(test=ast.Constant(value=False), msg=message), node)

    def visit_Delete(self, node: ast.Delete) -> ast.stmt | None:
        if all(isinstance(target, ast.Name) for target in node.targets):
            return None
        self._refuse(node, "gate.statement", "`del` is allowed for variables only", hint="use .pop(key) on a dict")
        return node

    def _with(self, node: ast.With) -> list[ast.stmt]:
        for item in node.items:
            call = item.context_expr
            path = self._path(call.func) if isinstance(call, ast.Call) and not (call.args or call.keywords) else None
            if path not in NO_OPS or item.optional_vars is not None:
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
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        frontier += ast.iter_child_nodes(node)
    return names
