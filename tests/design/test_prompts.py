from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from rewardsmith.design import designer as designer_module
from rewardsmith.design.designer import Assignment, ModelDesigner, Parent
from rewardsmith.design.difference import difference_messages
from rewardsmith.design.extract import extract_code
from rewardsmith.design.goal import goal_messages
from rewardsmith.design.prompts import (
    MEMORY_TOOLS,
    TEXT_TOOLS,
    VALUE_TOOLS,
    PromptLibrary,
    action_row,
    feature_rows,
    toolkit_lines,
)
from rewardsmith.errors import UsageError
from rewardsmith.resources import resource_root
from rewardsmith.reward import toolkit
from rewardsmith.reward.gate import check_source
from rewardsmith.types import ActionSpec, FeatureSpec, Finding, Proposal, Verdict
from tests.design.cards import CARD, CONTEXT, INTERFACE

GOLDEN = Path(__file__).parent / "golden"
PROMPTS = PromptLibrary()
FINDINGS = Verdict(
    candidate="r1s0",
    accepted=False,
    findings=(
        Finding(id="gate.if", severity="refuse", message="`if` on a tensor", hint="use torch.where", line=2),
        Finding(id="data.unused", severity="warn", message="`touching` is never read"),
        Finding(id="cost", severity="info", message="took 3 ms"),
    ),
)
PROPOSAL = Proposal(id="r1s0", round=1, sample=0, code="def compute_reward():\n    if x > 1:\n", origin="model")


class Silent:
    name = "silent"


@pytest.fixture(autouse=True)
def short_tools(monkeypatch):
    monkeypatch.setattr(designer_module, "toolkit_lines", lambda names: [f"`{name}`: a tool" for name in names])


def conversations() -> dict[str, str]:
    talks = {}
    for method in ("rewardsmith", "eureka", "auto_mc", "icpl", "oneshot"):
        designer = ModelDesigner(Silent(), method=method)
        talks[f"{method}/first"] = designer.messages(CONTEXT, Assignment())
        if method != "oneshot":
            seen = Parent("r1s0", "CODE", "success: 0.10")
            later = dataclasses.replace(CONTEXT, history="- r1s1 helped", wishes=("go slower",))
            talks[f"{method}/later"] = designer.messages(later, Assignment(edit="restructure", parents=(seen,)))[1:]
            brought = Assignment(edit="restructure", parents=(Parent("", "CODE"),))
            talks[f"{method}/brought-along"] = designer.messages(CONTEXT, brought)[2:]
    designer, icpl = ModelDesigner(Silent()), ModelDesigner(Silent(), method="icpl")
    pair = (Parent("r1s0", "CODE", "success: 0.10"), Parent("r1s1", "OTHER", "success: 0.20"))
    nothing = dataclasses.replace(CONTEXT, history="all eight were refused")
    signs = ModelDesigner(Silent(), method="auto_mc", sign_only=True)
    talks |= {
        "rewardsmith/first-with-idea": designer.messages(CONTEXT, Assignment(idea=2))[1:],
        "rewardsmith/tweak": designer.messages(CONTEXT, Assignment(edit="tweak", parents=pair[:1]))[3:],
        "rewardsmith/crossover": designer.messages(CONTEXT, Assignment(edit="crossover", parents=pair))[2:],
        "rewardsmith/later-without-best": designer.messages(nothing, Assignment(idea=1))[1:],
        "icpl/rejected": icpl.messages(CONTEXT, Assignment(edit="restructure", parents=pair))[2:],
        "icpl/difference": difference_messages(("r1s0", "CODE"), ("r2s3", "OTHER"), PROMPTS),
        "auto_mc/signs-only": signs.messages(CONTEXT, Assignment())[:1],
        "repair": designer.repair_messages(CONTEXT, PROPOSAL, FINDINGS)[2:],
        "repair-without-code": designer.repair_messages(
            CONTEXT, PROPOSAL.model_copy(update={"code": "", "failure": "the reply is empty"}), FINDINGS
        )[2:],
        "goal": goal_messages(PROMPTS, CARD, "hop to the right"),
    }
    return {name: "\n".join(f"[{m.role}]\n{m.content}" for m in talk) for name, talk in talks.items()}


NAMES = (
    *(
        f"{method}/{talk}"
        for method in ("rewardsmith", "eureka", "auto_mc", "icpl")
        for talk in ("first", "later", "brought-along")
    ),
    *(f"rewardsmith/{talk}" for talk in ("first-with-idea", "tweak", "crossover", "later-without-best")),
    *(f"icpl/{talk}" for talk in ("rejected", "difference")),
    "oneshot/first",
    "auto_mc/signs-only",
    "repair",
    "repair-without-code",
    "goal",
)


def test_every_conversation_is_looked_at():
    assert set(conversations()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_golden_renders(name):
    """Prompts change only on purpose. After a change: UPDATE_GOLDEN=1 pytest tests/design/test_prompts.py, and read."""
    text = conversations()[name]
    path = GOLDEN / f"{name}.txt"  # not .md: formatters rewrite code blocks in Markdown
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", PROMPTS.names())
def test_every_template_has_a_version(name):
    assert PROMPTS.version(name) >= 1


def test_no_braces_are_left_over():
    for text in conversations().values():
        assert not re.search(r"\{[{%#]|[}%#]\}", text)


def test_the_example_in_the_prompt_passes_the_gate():
    interface = INTERFACE.model_copy(update={"features": (*INTERFACE.features, FeatureSpec(name="air_temperature"))})
    talks = conversations()
    reward = extract_code(talks["rewardsmith/first"], "compute_reward").code
    goal = extract_code(talks["goal"], "episode", companions=("step",)).code
    assert check_source(reward or "", interface).findings == ()
    assert check_source(goal or "", interface, kind="goal").findings == ()


def test_goal_and_reward_never_meet():
    talks = conversations()
    assert "compute_reward" not in talks["goal"]
    assert "metres travelled" not in talks["goal"]
    for name in set(NAMES) - {"goal"}:
        assert "def episode" not in talks[name]


def test_untrusted_text_cannot_become_a_template_or_hide_characters():
    nasty = "{{ 7 * 7 }} {% include 'x' %} \x1b[31mred\u202e\x00"
    context = dataclasses.replace(CONTEXT, history=nasty, wishes=(nasty,))
    pair = (Parent("r1s0", f"# {nasty}", nasty), Parent("r1s1", f"# {nasty}", nasty))
    text = ModelDesigner(Silent()).messages(context, Assignment(edit="crossover", parents=pair))
    told = "\n".join(m.content for m in text)
    assert told.count("{{ 7 * 7 }}") == 6
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", told)


def test_a_missing_value_is_an_error(tmp_path):
    (tmp_path / "a.md.j2").write_text("{# version: 3. A test. #}\nHello {{ person }}\n")
    library = PromptLibrary(tmp_path)
    assert library.version("a.md.j2") == 3
    assert library.render("a.md.j2", person="you") == "Hello you\n"
    with pytest.raises(UsageError, match="person"):
        library.render("a.md.j2")


@pytest.mark.parametrize(
    ("source", "word"), [("Hello\n", "no version"), ("{# version: 1. T. #}\n{% if %}\n", "cannot be rendered")]
)
def test_broken_templates_are_named(tmp_path, source, word):
    (tmp_path / "a.md.j2").write_text(source)
    with pytest.raises(UsageError, match=word) as caught:
        PromptLibrary(tmp_path).render("a.md.j2")
    assert "a.md.j2" in caught.value.message


def test_an_unknown_template_lists_the_known_ones():
    with pytest.raises(UsageError, match="eureka/user"):
        PROMPTS.render("eureka/usr.md.j2")


def test_the_digest_follows_the_texts(tmp_path):
    (tmp_path / "a.md.j2").write_text("{# version: 1. A. #}\nA\n")
    before = PromptLibrary(tmp_path).digest()
    (tmp_path / "a.md.j2").write_text("{# version: 1. A. #}\nB\n")
    assert PromptLibrary(tmp_path).digest() != before


def test_resource_root_is_a_folder_with_prompts():
    assert (resource_root("prompts") / "eureka" / "system.md.j2").is_file()


@pytest.mark.parametrize(
    ("action", "shape", "span"),
    [
        (ActionSpec(kind="continuous", shape=(2,), low=(-1.0, -1.0), high=(1.0, 1.0)), "(N, 2)", "-1 ... 1"),
        (ActionSpec(kind="continuous", shape=(2,), low=(-1.0, 0.0), high=(1.0, 2.0)), "(N, 2)", "-1 ... 1; 0 ... 2"),
        (ActionSpec(kind="continuous", shape=(1,)), "(N, 1)", "any"),
        (ActionSpec(kind="discrete", n=4), "(N,)", "0 ... 3"),
        (ActionSpec(kind="multi_discrete", shape=(2,), nvec=(2, 3)), "(N, 2)", "0 ... 1; 0 ... 2"),
    ],
)
def test_action_rows(action, shape, span):
    row = action_row(action)
    assert (row["shape"], row["range"]) == (shape, span)


def test_feature_rows_cannot_break_the_table():
    (row,) = feature_rows((FeatureSpec(name="x", low=0.0, about="a | b\nc"),))
    assert row["about"] == "a / b c"
    assert row["range"] == "0 ... inf"


def test_every_tool_is_told_about():
    assert sorted((*TEXT_TOOLS, *VALUE_TOOLS, *MEMORY_TOOLS)) == sorted(toolkit.__all__)
    lines = toolkit_lines(toolkit.__all__)
    assert len(lines) == len(toolkit.__all__)
    assert all(re.fullmatch(r"`\w+\(.+\)`: .+\.", line) for line in lines)
