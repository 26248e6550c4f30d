"""Write docs/configuration.md from the settings' own descriptions: `python scripts/document_settings.py`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from rewardsmith.budget import BudgetLimits
from rewardsmith.config import DesignConfig, ModelConfig
from rewardsmith.train import PpoConfig
from rewardsmith.train.sb3 import Sb3Config

TARGET = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("A run", "Fields of `DesignConfig`; on the command line they are options of `rewardsmith design`.", DesignConfig),
    ("The language model", "Fields of `ModelConfig`, under `model`.", ModelConfig),
    ("Budgets", "Fields of `BudgetLimits`, under `budget`. Nothing is spent that would exceed one.", BudgetLimits),
    (
        "Training",
        "Fields of `PpoConfig`. Each environment brings its own values; override one with `--set KEY=VALUE`.",
        PpoConfig,
    ),
    (
        "Training with Stable-Baselines3",
        "Fields of `Sb3Config`, for `train --trainer sb3`; `--set` takes the algorithm's own arguments as well.",
        Sb3Config,
    ),
)


def default_of(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "(required)"
    if isinstance(value, BaseModel):
        return "see below"
    return f"`{value!r}`"


def document() -> str:
    lines = [
        "# Configuration",
        "",
        "Every setting of a run. They are written whole into the run's `run.json`. This page is made by",
        "`scripts/document_settings.py` from the descriptions in the code.",
    ]
    for title, about, model in SECTIONS:
        lines += ["", f"## {title}", "", about, "", "| setting | default | meaning |", "|---|---|---|"]
        for name, field in model.model_fields.items():
            lines.append(f"| `{name}` | {default_of(model, name)} | {field.description} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
