from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rewardsmith.design.designer import Assignment, ModelDesigner
from rewardsmith.design.extract import Extraction, extract_code
from rewardsmith.design.goal import describe, goal_messages, write_goal
from rewardsmith.design.prompts import PromptLibrary
from rewardsmith.errors import NothingAcceptable
from rewardsmith.llm import Completion
from rewardsmith.reward.compile import compile_goal, compile_reward
from rewardsmith.types import ActionSpec, FeatureSpec
from tests.design.cards import CARD, CONTEXT, INTERFACE
from tests.design.test_designer import Scripted

GOAL = '''def step(obs, action, next_obs):
    return {"x": next_obs["position"], "fell": next_obs["terminated"].float()}


def episode(total, last, low, high, length):
    """Success: two metres without falling. Progress: metres."""
    return (last["x"] > 2.0) & (high["fell"] < 0.5), last["x"]'''
REPLY = f"Success: it gets **two metres** far without falling.\n- Progress: metres travelled\n\n```python\n{GOAL}\n```"
BROKEN = REPLY.replace('return {"x"', 'if True:\n        import os\n    return {"x"')


def test_a_goal_is_written_compiled_and_described(jail):
    model = Scripted({("goal", 0): REPLY})
    written = write_goal(model, CARD, "hop to the right", jail)
    assert written.code == GOAL
    assert written.attempts == 1
    assert written.about == "Success: it gets **two metres** far without falling.\nProgress: metres travelled"
    assert (written.goal.kind, written.goal.code) == ("model", GOAL)
    assert "\n" not in written.goal.about
    last = {"x": torch.tensor([3.0, 3.0, 1.0]), "fell": torch.zeros(3)}
    high = {"x": last["x"], "fell": torch.tensor([0.0, 1.0, 0.0])}
    progress, success = written.program.episode(last, last, last, high, torch.full((3,), 9.0))
    assert success.tolist() == [1.0, 0.0, 0.0]
    assert progress.tolist() == [3.0, 3.0, 1.0]


def test_findings_go_back_until_it_compiles(jail):
    model = Scripted(
        {("goal", 0): "I will think about it.", ("goal", 1): BROKEN, ("goal", 2): REPLY}, default="not reached"
    )
    written = write_goal(model, CARD, "hop", jail)
    assert written.attempts == 3
    first, second, third = (model.asked["goal", i] for i in range(3))
    assert len(first) == 1
    assert second[0] == third[0] == first[0]
    assert "no code" in second[-1].content
    assert "import" in third[-1].content
    assert "line " in third[-1].content
    assert "import os" in third[1].content


@pytest.mark.parametrize("reply", ["", "no", BROKEN, Completion(text=REPLY[:-30], finish="length")])
def test_a_model_that_cannot_ends_in_an_error_with_a_way_out(jail, reply):
    model = Scripted(default=reply)
    with pytest.raises(NothingAcceptable, match="2 attempts") as caught:
        write_goal(model, CARD, "hop", jail, repairs=1)
    assert "--metric" in caught.value.hint
    assert len(model.asked) == 2


@pytest.mark.parametrize(
    ("prose", "code", "about"),
    [
        ("**Success:** it stands.\n**Progress**: seconds.", GOAL, "Success: it stands.\nProgress: seconds."),
        ("I thought about success a lot.", GOAL, "Success: two metres without falling. Progress: metres."),
        ("", "def episode(): return 1", "the model gave no description"),
        ("Success: \x1b[31mred\u202e", GOAL, "Success: 31mred"),
    ],
)
def test_descriptions(prose, code, about):
    assert describe(Extraction(code, "", prose)) == about


def test_the_examples_in_the_prompts_compile(jail):
    """What the prompt shows is the first thing that models imitate."""
    interface = INTERFACE.model_copy(update={"features": (*INTERFACE.features, FeatureSpec(name="air_temperature"))})
    goal = extract_code(goal_messages(PromptLibrary(), CARD, "w")[0].content, "episode", companions=("step",)).code
    assert compile_goal(goal or "", interface, jail).program is not None


@pytest.mark.parametrize(
    "action",
    [
        INTERFACE.action,
        ActionSpec(kind="discrete", n=4),
        ActionSpec(kind="multi_discrete", shape=(2,), nvec=(3, 5)),
    ],
)
def test_the_form_in_the_prompt_compiles_for_every_kind_of_action(jail, action):
    interface = INTERFACE.model_copy(update={"action": action})
    context = replace(CONTEXT, environment=replace(CARD, interface=interface))
    system = ModelDesigner(Scripted()).messages(context, Assignment())[0].content
    result = compile_reward(extract_code(system, "compute_reward").code or "", interface, jail)
    assert result.program is not None, result.findings
    assert set(result.program.parameters) == {"effort_weight", "extreme_penalty"}
    assert result.program.component_names == ("effort", "extreme")
    assert result.program.structural == ()
