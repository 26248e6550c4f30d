from __future__ import annotations

import ast
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.design.extract import extract_code

MAIN = '''def compute_reward(obs, action, next_obs, *, w=1.0):
    """Go."""
    r = w * next_obs["x"]

    return r, {"r": r}'''
HELPER = "def helper(x):\n    return x * 2"
CALLER = MAIN.replace('next_obs["x"]', 'helper(next_obs["x"])')
OLD = MAIN.replace("Go.", "Old.")
FENCED = f"```python\n{MAIN}\n```"


def names(code: str | None) -> list[str]:
    assert code is not None
    return [n.name for n in ast.parse(code).body if isinstance(n, ast.FunctionDef)]


@pytest.mark.parametrize(
    "reply",
    [
        FENCED,
        f"Sure! Here it is:\n\n{FENCED}\n\nIt rewards x.",
        f"```\n{MAIN}\n```",
        f"~~~py\n{MAIN}\n~~~",
        f"````python\n{MAIN}\n````",
        f"```Python title=reward.py\r\n{MAIN}\r\n```".replace("\n", "\r\n"),
        f"```python\n{MAIN}",  # never closed, yet complete
        "1. First:\n\n   ```python\n" + "\n".join("   " + s for s in MAIN.split("\n")) + "\n   ```",
        "\n".join("> " + s for s in FENCED.split("\n")),
        f"```python {MAIN}\n```",
        MAIN,
        f"Here you go.\n\n{MAIN}\n\nThis works because x grows.",
        f"Here you go.\n\n{MAIN}\nEnjoy",
        f"```json\n{{}}\n```\n{FENCED}\n```bash\npip install torch\n```",
        f"```python\nenv.step(a)\n```\nthen\n{FENCED}",
        f'The old text was """not code""" and """def nothing""".\n{FENCED}',
        f"<think>\nmaybe ```python\n{OLD}\n``` ?\n</think>\n{FENCED}",
        f"I was thinking {FENCED} but no.\n</think>\n{FENCED}",
        f"<THINKING>{OLD}</THINKING>{MAIN}",
        f"The previous code:\n```python\n{OLD}\n```\nThe new code:\n{FENCED}",
        f"```python\ndef compute_reward(obs:\n```\nsorry:\n{FENCED}",
        f"\ufeff\u200b{FENCED}",
        '{"why": "x", "code": "' + MAIN.replace('"', '\\"').replace("\n", "\\n") + '"}',
    ],
)
def test_the_code_is_found(reply):
    found = extract_code(reply, "compute_reward")
    assert found.problem == ""
    assert found.code == MAIN


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        (f"```python\n{HELPER}\n\n{CALLER}\n```", ["helper", "compute_reward"]),
        (f"```python\n{CALLER}\n\n{HELPER}\n```", ["compute_reward", "helper"]),
        (f"```python\n{HELPER}\n```\nand\n```python\n{CALLER}\n```", ["helper", "compute_reward"]),
        (f"```python\n{CALLER}\n```\nwith\n```python\n{HELPER}\n```", ["helper", "compute_reward"]),
        (f"{HELPER}\n\n{CALLER}", ["helper", "compute_reward"]),
        (f"Text.\n{CALLER}\n\n{HELPER}\nMore text.", ["compute_reward", "helper"]),
        (f"```python\n{HELPER}\n```\n```python\n{MAIN}\n```", ["compute_reward"]),  # not used: not fetched
    ],
)
def test_helpers_are_kept(reply, wanted):
    assert names(extract_code(reply, "compute_reward").code) == wanted


def test_helpers_of_helpers_and_companions_are_fetched():
    deep = HELPER.replace("x * 2", "deeper(x)")
    reply = "\n".join(
        f"```python\n{c}\n```"
        for c in ("def deeper(x):\n    return x", deep, "def potential(obs):\n    return obs['x']", CALLER)
    )
    found = extract_code(reply, "compute_reward", companions=("potential",))
    assert sorted(names(found.code)) == ["compute_reward", "deeper", "helper", "potential"]


def test_imports_above_unfenced_code_are_kept():
    found = extract_code(f"Sure.\n\nimport torch\n\n{MAIN}\n", "compute_reward")
    assert found.code is not None
    assert found.code.startswith("import torch")


def test_a_fence_inside_a_docstring_does_not_end_the_code():
    code = MAIN.replace('"""Go."""', '"""Go.\n    ```\n    x\n    ```\n    """')
    assert extract_code(f"```python\n{code}\n```", "compute_reward").code == code


@pytest.mark.parametrize(
    ("reply", "truncated", "word"),
    [
        ("", False, "empty"),
        ("  \n", False, "empty"),
        ("", True, "cut off"),
        ("I cannot help with that.", False, "no code"),
        ("```python\n```", False, "no code"),
        ("<think>I should", False, "still thinking"),
        (f"<think>\n{FENCED}", False, "still thinking"),
        (f"```python\n{MAIN[:60]}", False, "cut off inside"),
        (f"```python\n{MAIN}", True, "cut off inside"),
        ("Let me explain at length", True, "cut off before"),
        ("```python\ndef get_reward(a):\n    return a\n```", False, "defines get_reward"),
        ("```python\nclass R:\n    def compute_reward(self):\n        pass\n```", False, "no code"),
        ('He said """def nothing""" to me', False, "no code"),
        ("x" * 200_001, False, "characters long"),
    ],
)
def test_what_is_wrong_is_said(reply, truncated, word):
    found = extract_code(reply, "compute_reward", truncated=truncated)
    assert found.code is None
    assert word in found.problem


def test_code_that_does_not_parse_is_left_to_the_gate():
    broken = MAIN.replace("return r, {", "return r, [")
    assert extract_code(f"```python\n{broken}\n```", "compute_reward").code == broken


def test_prose_is_what_is_left():
    assert extract_code(f"<think>hm</think>Because.\n{FENCED}\nBye.", "compute_reward").prose == "Because.\nBye."


@given(st.text(alphabet=st.sampled_from("`~\n <>/think\"'def compute_reward(:)=x1{}"), max_size=300))
def test_any_text_gets_an_answer(reply):
    found = extract_code(reply, "compute_reward")
    assert (found.code is None) == bool(found.problem)


@given(st.text(max_size=80), st.text(max_size=80))
def test_prose_around_a_fence_does_not_matter(before, after):
    if any(mark in before + after for mark in ("`", "~", "<", "def")):
        return
    assert extract_code(f"{before}\n{FENCED}\n{after}", "compute_reward").code == MAIN


@pytest.mark.parametrize(
    "unit", ["<think>", "</think>", "```\n", "def compute_reward(\n", "{", "> ```python\n", "<think></"]
)
def test_hostile_repetition_takes_no_time(unit):
    reply = unit * (100_000 // len(unit))
    start = time.process_time()
    extract_code(reply, "compute_reward")
    assert time.process_time() - start < 5
