"""Hostile and mistaken rewards are refused with the right id, a line where there is one, and a fix."""

# ruff: noqa: E501 (tables read better with one case a line)

from __future__ import annotations

import pytest

from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_goal, compile_reward
from rewardsmith.reward.findings import FINDINGS
from rewardsmith.reward.gate import check_source
from tests.reward.corpus.interface import INTERFACE
from tests.reward.corpus.refused import GATE, GRAPH, TRACE, body


@pytest.mark.parametrize("name", GATE)
def test_gate_refuses(name: str) -> None:
    code, expected = GATE[name]
    result = check_source(code, INTERFACE)
    assert not result.ok and result.source == ""
    assert expected in {finding.id for finding in result.findings}, result.findings
    assert all(finding.hint and finding.severity == "refuse" for finding in result.findings)


@pytest.mark.parametrize("name", [*TRACE, *GRAPH])
def test_trace_and_loader_refuse(name: str, jail: Jail) -> None:
    code, expected = (TRACE | GRAPH)[name]
    result = compile_reward(code, INTERFACE, jail)
    assert result.program is None
    assert [finding.id for finding in result.findings] == [expected], result.findings
    assert result.findings[0].hint


def test_lines_are_those_of_the_original(jail: Jail) -> None:
    code = '\n\n"""doc"""\nimport torch\n\n' + body(
        "# a comment", 'h = next_obs["height"]', "if h[0] > 0:", "    pass", "return h, {}"
    )
    found = compile_reward(code, INTERFACE, jail).findings[0]
    assert (found.id, found.line) == ("trace.data_dependent", 9)
    assert "torch.where" in found.hint


def test_the_same_mistake_is_told_once() -> None:
    found = check_source(body("return speed + speed + speed, {}"), INTERFACE).findings
    assert [(finding.id, finding.line) for finding in found] == [("gate.name", 2)]


@pytest.mark.parametrize(
    ("ending", "said", "line"),
    [
        ("return h", "one tensor instead of (total, components)", 3),
        ("return h, [h]", "a tuple (tensor, list)", 3),
        ("pass", "nothing", 1),
    ],
)
def test_a_wrong_result_is_described_and_located(ending: str, said: str, line: int, jail: Jail) -> None:
    found = compile_reward(body('h = next_obs["height"]', ending), INTERFACE, jail).findings[0]
    assert found.id == "trace.output"
    assert said in found.message
    assert found.line == line


def test_gate_reports_all_problems_at_once() -> None:
    found = check_source("import os\n" + body("open('x')", "while 1:", "    pass", "return 1, {}"), INTERFACE).findings
    assert [(finding.id, finding.line) for finding in found] == [
        ("gate.import", 1),
        ("gate.name", 3),
        ("gate.statement", 4),
    ]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("import scipy\n", "torch"),
        ("import numpy as np\n" + body("return np.abs(obs['height']), {}"), "write torch.abs"),
        (body("return np.linalg.norm(obs['position'], axis=-1), {}"), "torch.linalg.norm(x, dim=-1)"),
        (body("return obs['height'] * np.random.rand(), {}"), "remove the randomness"),
        (body("return obs['height'], {'a {}'.format(1): obs['height']}"), "f-string"),
        (body("return torch.cdist(obs['position'], obs['position']), {}"), "dim=-1"),
        (
            body("d = torch.device('cuda' if torch.cuda.is_available() else 'cpu')", "return obs['height'], {}"),
            "device of a feature",
        ),
        (body("return obs['height'], {}") + "if __name__ == '__main__':\n    x = 1\n", "never run as a program"),
        ("__all__ = ['compute_reward']\n" + body("return obs['height'], {}"), "remove it"),
        (body("return torch.FloatTensor([1.0]) * obs['height'], {}"), "torch.tensor("),
        (body("return torch.Tensor([1.0]) * obs['height'], {}"), "torch.tensor("),
        (body("return torch.sofplus(obs['height']), {}"), "F.softplus"),
        (body("return tolerence(obs['height'], 0, 1), {}"), "did you mean tolerance"),
    ],
)
def test_hints_say_what_to_write_instead(code: str, hint: str) -> None:
    assert any(hint in finding.hint for finding in check_source(code, INTERFACE).findings)


def test_messages_from_the_jail_are_cleaned(jail: Jail) -> None:
    found = compile_reward(body("return next_obs['\\x1b[31m\\n\\u202e'], {}"), INTERFACE, jail).findings[0]
    assert found.message.isascii() and found.message.isprintable()


def test_a_jail_that_lies_is_not_believed() -> None:
    class Liar:
        def __init__(self, answer: bytes) -> None:
            self.answer = answer

        def call(self, payload: dict) -> bytes:
            return self.answer

    code = body("return next_obs['height'], {}")
    for answer in (
        b"",
        b"[]",
        b"{}",
        b'{"graph": 1}',
        b'{"finding": []}',
        b"\xff",
        b"[" * 100_000,
        b'{"finding":{"id":"x","line":[]}}',
    ):
        result = compile_reward(code, INTERFACE, Liar(answer))  # type: ignore[arg-type]
        assert result.program is None and result.findings[0].id == "trace.result", answer
    result = compile_reward(code, INTERFACE, Liar(b'{"graph": {"version": 1}}'))  # type: ignore[arg-type]
    assert result.findings[0].id == "graph.format"


def test_every_finding_explains_itself() -> None:
    for id, explanation in FINDINGS.items():
        assert id.split(".")[0] in {"gate", "trace", "graph"}
        assert explanation.title and explanation.why and explanation.fix, id
    used = {expected for corpus in (GATE, TRACE, GRAPH) for _, expected in corpus.values()}
    assert used <= set(FINDINGS)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def step(obs, action, next_obs):\n    return {}\n", "gate.signature"),
        ("def episode(total, last, low, high, length):\n    return length, length\n", "gate.signature"),
        ("def step(o, a, n, *, w=1.0):\n    return {}\ndef episode(a, b, c, d, e):\n    return e, e\n", "gate.signature"),
        ("def step(o, a, n):\n    return {}\ndef episode(a, b, c, d, e):\n    return e, e\n", "trace.output"),
        ("def step(o, a, n):\n    return {'h': n['height']}\ndef episode(t, b, c, d, e):\n    return e\n", "trace.output"),
        ("def step(o, a, n):\n    return {'h': n['height']}\ndef episode(t, b, c, d, e):\n    return t['g'], e\n", "trace.feature"),
        ("def step(o, a, n):\n    return {'h': n['height']}\ndef episode(t, b, c, d, e):\n    return e - e.mean(), e\n", "graph.batch_coupling"),
    ],
)  # fmt: skip
def test_bad_goals_are_refused(code: str, expected: str, jail: Jail) -> None:
    result = compile_goal(code, INTERFACE, jail)
    assert result.program is None and result.findings[0].id == expected, result.findings


def test_row_numbers_cannot_come_from_a_range_too_long_to_count(jail: Jail) -> None:
    """Beyond 2**53 the size that a range has without storage is not the one it has when it runs."""
    code = body(
        'h = next_obs["height"]',
        "a = torch.arange(2**62 + 512, 2**62 + 513, 1.0) * 0.0",
        "return (h[:, None] + a).reshape(-1)[: h.shape[0]], {'h': h}",
    )
    result = compile_reward(code, INTERFACE, jail)
    assert result.program is None
