"""What the gate makes of good code: normalization, parameters, and independence from torch."""

# ruff: noqa: E501 (tables read better with one case a line)

from __future__ import annotations

import subprocess
import sys

import pytest

from rewardsmith.reward.gate import check_source
from rewardsmith.reward.vocabulary import TOOLKIT
from tests.reward.corpus.benign import BENIGN
from tests.reward.corpus.interface import INTERFACE


def test_the_normalized_source_has_no_imports_hints_or_docstrings() -> None:
    result = check_source(BENIGN["imports_and_hints"], INTERFACE)
    assert result.source == (
        "def compute_reward(obs, action, next_obs):\n"
        "    d = __functional.softplus(next_obs['position'].pow(2).sum(dim=-1)) / __math.pi\n"
        "    return (-d, {'distance': -d})"
    )
    assert result.lines == {1: 10, 2: 14, 3: 15}


def test_parameters_become_keyword_only_floats() -> None:
    code = "def compute_reward(obs, action, next_obs, a=1, *, b=-2, c=1 / 4, d=2 * math.pi):\n    return obs['height'], {}\n"
    result = check_source(code, INTERFACE)
    assert result.parameters == {"a": 1.0, "b": -2.0, "c": 0.25, "d": 6.283185307179586}
    assert "next_obs, *, a=1.0, b=-2.0, c=0.25, d=6.283185307179586" in result.source


def test_functions_share_parameters_but_not_with_two_defaults() -> None:
    both = "def compute_reward(o, a, n, *, w=1.0):\n    return n['height'], {{}}\ndef potential(o, *, w={}):\n    return o['height']\n"
    assert check_source(both.format("1.0"), INTERFACE).parameters == {"w": 1.0}
    assert check_source(both.format("2.0"), INTERFACE).findings[0].id == "gate.parameter"


def test_a_local_variable_may_have_the_name_of_a_toolkit_function() -> None:
    for name in TOOLKIT:
        code = f"def compute_reward(obs, action, next_obs):\n    {name} = obs['height']\n    return {name}, {{}}\n"
        assert f"return ({name}, " in check_source(code, INTERFACE).source


@pytest.mark.parametrize(
    "line",
    ["import torch", "import torch as th", "import math", "from math import exp, pi", "import torch.nn.functional as F",
     "from torch import nn", "from torch import Tensor, where", "from typing import Dict, Tuple",
     "from rewardsmith.toolkit import tolerance as tol", "from rewardsmith import toolkit", "import rewardsmith.toolkit"],
)  # fmt: skip
def test_harmless_imports_are_accepted(line: str) -> None:
    code = f"{line}\ndef compute_reward(obs, action, next_obs):\n    return obs['height'], {{}}\n"
    assert check_source(code, INTERFACE).ok


@pytest.mark.parametrize(
    ("head", "use", "canonical"),
    [
        ("import torch as t", "t.nn.functional.relu", "__functional.relu"),
        ("from torch import nn", "nn.functional.relu", "__functional.relu"),
        ("from torch.nn.functional import relu as r", "r", "__functional.relu"),
        ("from torch import exp", "exp", "__torch.exp"),
        ("from rewardsmith import toolkit", "toolkit.geometric", "__toolkit.geometric"),
        ("import rewardsmith.toolkit", "rewardsmith.toolkit.geometric", "__toolkit.geometric"),
        ("", "geometric", "__toolkit.geometric"),
        ("", "torch.linalg.norm", "__linalg.norm"),
        ("", "F.relu", "__functional.relu"),
    ],
)
def test_library_names_are_resolved(head: str, use: str, canonical: str) -> None:
    code = f"{head}\ndef compute_reward(obs, action, next_obs):\n    return {use}(obs['height']), {{}}\n"
    assert f"{canonical}(obs" in check_source(code, INTERFACE).source


def test_windows_line_ends_and_a_byte_order_mark_are_fine() -> None:
    code = "\ufeff" + BENIGN["text"].replace("\n", "\r\n")
    assert check_source(code, INTERFACE).ok


def test_gate_and_jail_need_no_torch() -> None:
    code = "import sys, rewardsmith.reward.gate, rewardsmith.jail; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
