"""Prompt templates: Jinja2 files that a person can read and edit, rendered strictly.

Untrusted text enters only as values, cleaned, and is never rendered as a template.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path

import jinja2

from rewardsmith.errors import UsageError, unknown
from rewardsmith.resources import resource_root
from rewardsmith.types import ActionSpec, FeatureSpec, content_id

TEXT_TOOLS = ("contains", "contains_any")
VALUE_TOOLS = ("tolerance", "delta", "clip", "conjunction", "geometric", "sign_only")
MEMORY_TOOLS = ("sequence", "eventually", "always", "at_most", "once")

_VERSION = re.compile(r"\A\{# version: (\d+)\. .+? #\}\n", re.DOTALL)


class PromptLibrary:
    """Renders `<method>/<name>.md.j2`. A missing value is an error, never an empty spot in a prompt."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or resource_root("prompts")
        self._jinja = jinja2.Environment(
            loader=jinja2.FileSystemLoader(self.root),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,  # prompts are plain text
        )

    def names(self) -> list[str]:
        """All templates, such as "eureka/system.md.j2"."""
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.rglob("*.j2"))

    def source(self, name: str) -> str:
        """Raises: UsageError: no such template."""
        try:
            return (self.root / name).read_text(encoding="utf-8")
        except OSError as e:
            raise UsageError(unknown("prompt", name, self.names()), hint=f"look in {self.root}") from e

    def version(self, name: str) -> int:
        """The number in the template's first line. Raises: UsageError: there is none."""
        found = _VERSION.match(self.source(name))
        if found is None:
            raise UsageError(
                f"the prompt {self.root / name} has no version",
                hint="its first line must read {# version: N. What it is for. #}",
            )
        return int(found.group(1))

    def digest(self) -> str:
        """Content hash of all templates, for the run record."""
        return content_id([[name, self.source(name)] for name in self.names()])

    def render(self, name: str, /, **values: object) -> str:
        """The prompt as text. Raises: UsageError: no such template, a mistake in it, or a value is missing."""
        self.version(name)
        try:
            text = self._jinja.get_template(name).render(**values)
        except jinja2.TemplateError as e:
            raise UsageError(
                f"the prompt {self.root / name} cannot be rendered: {e}", hint="repair the template, or restore it"
            ) from e
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def feature_rows(features: tuple[FeatureSpec, ...]) -> list[dict[str, str]]:
    """Features as the prompt's table shows them."""
    return [
        {
            "name": f.name,
            "shape": _batched(f.shape),
            "dtype": f.dtype,
            "unit": f.unit,
            "range": _range(f.low, f.high),
            "about": _cell(f.about),
        }
        for f in features
    ]


def action_row(action: ActionSpec) -> dict[str, str]:
    match action.kind:
        case "discrete":
            span = f"0 ... {(action.n or 1) - 1}"
        case "multi_discrete":
            span = "; ".join(f"0 ... {n - 1}" for n in action.nvec or ())
        case _:
            span = _joint_range(action.low, action.high)
    return {"shape": _batched(action.shape), "dtype": action.dtype, "range": span, "about": _cell(action.about)}


def toolkit_lines(names: Iterable[str]) -> list[str]:
    """One line for each ready-made function: its call and the first line of its docstring."""
    from rewardsmith.reward import toolkit  # here, because it imports torch

    lines = []
    for name in names:
        function = getattr(toolkit, name)
        parameters = inspect.signature(function).parameters.values()
        call = ", ".join(str(p.replace(annotation=inspect.Parameter.empty)) for p in parameters)
        about = (inspect.getdoc(function) or "").split("\n")[0]
        lines.append(f"`{name}({call})`: {about}")
    return lines


def _batched(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['N', *map(str, shape)])}{'' if shape else ','})"


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "any"
    return f"{'-inf' if low is None else f'{low:.4g}'} ... {'inf' if high is None else f'{high:.4g}'}"


def _joint_range(low: tuple[float, ...] | None, high: tuple[float, ...] | None) -> str:
    if low is None or high is None:
        return "any"
    if len(set(low)) == len(set(high)) == 1:
        return _range(low[0], high[0])
    return "; ".join(_range(a, b) for a, b in zip(low, high, strict=True))


def _cell(text: str) -> str:
    """`text` fit for one cell of a Markdown table."""
    return " ".join(text.replace("|", "/").split())
