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


NESTED = '{"a":' + "[" * 3000


@pytest.mark.parametrize("reply", [NESTED, NESTED + "]" * 3000 + "}", '{"a":' + "9" * 5000 + "}", "(" * 3000])
def test_nesting_without_end_is_a_reply_without_code(reply):
    assert "no code" in extract_code(reply, "compute_reward").problem


def test_whatever_goes_wrong_is_a_reply_without_code(monkeypatch):
    def fail(*_):
        raise RecursionError

    monkeypatch.setattr("rewardsmith.design.extract._blocks", fail)
    found = extract_code(FENCED, "compute_reward")
    assert found.code is None
    assert found.problem == "the reply cannot be read (RecursionError)"


@pytest.mark.parametrize(
    "reply",
    [
        FENCED.replace("Go", "G\ud83do"),
        '{"code": "def compute_reward(o):\\n    return \\"\\ud800\\", {}"}',
        "\udfff\n" + MAIN,
    ],
)
def test_code_and_prose_can_be_written_to_a_file(reply):
    found = extract_code(reply, "compute_reward")
    assert found.code is not None
    assert (found.code + found.prose).encode()


def test_a_wrong_line_above_code_without_a_fence_ends_it():
    reply = f"x = (\nimport torch\ndef unfinished():\n{HELPER}\n{CALLER}"
    assert extract_code(reply, "compute_reward").code == f"{HELPER}\n{CALLER}"


def test_helpers_are_fetched_up_to_a_limit():
    chain = "\n".join(f"def h{i}(x):\n    return h{i + 1}(x)" for i in range(150))
    caller = CALLER.replace("helper", "h0")
    found = extract_code(f"```python\n{chain}\n```\n```python\n{caller}\n```", "compute_reward")
    assert names(found.code) == [f"h{i}" for i in reversed(range(100))] + ["compute_reward"]


WORDS = [
    *"`~\n <>/\"'():=x1{}[],",
    "    ",
    "\ud800",
    "\u2028",
    "\x85",
    "```python\n",
    "def compute_reward(",
    MAIN,
    HELPER,
]


@given(st.lists(st.sampled_from([*WORDS, '{"code": "', "(" * 300, "[" * 3000, "-" * 3000]), max_size=30))
def test_any_mixture_of_code_gets_an_answer(words):
    found = extract_code("".join(words), "compute_reward", companions=("potential",))
    assert (found.code is None) == bool(found.problem)
    assert "cannot be read" not in found.problem


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
    "unit",
    ["<think>", "</think>", "<think></think>", "```\n", "def compute_reward(\n", "{", "> ```python\n", "<think></"],
)
def test_hostile_repetition_takes_no_time(unit):
    reply = unit * (100_000 // len(unit))
    start = time.process_time()
    extract_code(reply, "compute_reward")
    assert time.process_time() - start < 5


LONG_LINE = "    x = [" + "1," * 300 + "]\n"


@pytest.mark.parametrize(
    "reply",
    [
        FENCED + "\n```python\n" + "".join(f"def h{i}():\n    h{i + 1}()\n" for i in range(1000)) + "```",
        FENCED.replace("w *", "h0() *")
        + "\n```\n"
        + "".join(f"def h{i}():\n    h{i + 1}()\n" for i in range(1000))
        + "```",
        FENCED + "\n```python\n" + "".join(f"def g{i}(): 0\n" for i in range(3000)) + "```",
        "def compute_reward(o):\n" + LONG_LINE * 60 + "not code here\n" * 200,
        (LONG_LINE.strip() + "\n") * 280 + "x = (\n" + MAIN,
    ],
)
def test_much_code_takes_no_time(reply):
    start = time.process_time()
    assert extract_code(reply, "compute_reward").code
    assert time.process_time() - start < 5
