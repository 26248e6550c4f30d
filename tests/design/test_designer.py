from __future__ import annotations

import pytest

from rewardsmith.design import designer as designer_module
from rewardsmith.design.designer import Assignment, ModelDesigner, Parent, repair_id
from rewardsmith.errors import ModelServerError
from rewardsmith.llm import Completion, OpenAIModel
from rewardsmith.types import Finding, Verdict
from tests.design.cards import CONTEXT, new
from tests.helpers.model_server import ModelServer

CODE = "def compute_reward(obs, action, next_obs):\n    return 1"
REFUSED = Verdict(candidate="c", accepted=False, findings=(Finding(id="a", severity="refuse", message="bad"),))


class Scripted:
    """Answers from a dict by (step, sample) and remembers what it was asked."""

    name = "scripted"

    def __init__(self, replies=None, default="no code"):
        self.replies, self.default, self.asked = replies or {}, default, {}

    def complete(self, messages, *, step, sample, **options):
        self.asked[step, sample] = list(messages)
        reply = self.replies.get((step, sample), self.default)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Completion) else Completion(text=reply)


@pytest.fixture(autouse=True)
def no_tools(monkeypatch):
    monkeypatch.setattr(designer_module, "toolkit_lines", lambda names: [])


def test_one_request_a_sample_and_stable_ids():
    model = Scripted(
        {
            ("round-1/propose", 0): f"A plan.\n```python\n{CODE}\n```",
            ("round-1/propose", 1): "sorry",
            ("round-1/propose", 2): Completion(text=f"```python\n{CODE[:40]}", finish="length"),
            ("round-1/propose", 3): "",
        }
    )
    proposals = ModelDesigner(model).propose(CONTEXT, new(4), round=1)
    assert [p.id for p in proposals] == ["r1s0", "r1s1", "r1s2", "r1s3"]
    assert [p.sample for p in proposals] == [0, 1, 2, 3]
    first = proposals[0]
    assert (first.code, first.thoughts, first.failure, first.origin) == (CODE, "A plan.", "", "model")
    assert ["no code" in proposals[1].failure, "cut off" in proposals[2].failure, "empty" in proposals[3].failure] == [
        True
    ] * 3
    assert all(p.code == "" for p in proposals[1:])


def test_first_round_prompts_differ_and_later_ones_show_the_best():
    model = Scripted()
    designer = ModelDesigner(model)
    designer.propose(CONTEXT, new(5), round=1)
    users = [model.asked["round-1/propose", i][-1].content for i in range(5)]
    assert len(set(users)) == 5
    work = Assignment(edit="restructure", parents=(Parent("r1s3", CODE, "success 0.2"),))
    (proposal,) = designer.propose(CONTEXT, [work], round=2)
    talk = model.asked["round-2/propose", 0]
    assert [m.role for m in talk] == ["system", "user", "assistant", "user"]
    assert CODE in talk[2].content
    assert "success 0.2" in talk[3].content
    assert (proposal.parents, proposal.edit) == (("r1s3",), "restructure")
    assert talk[0] == model.asked["round-1/propose", 0][0]  # the same system prompt all run long


def test_repairs_are_numbered_and_end():
    model = Scripted(default=f"```python\n{CODE}\n```")
    designer = ModelDesigner(model, repairs=2)
    (first,) = designer.propose(CONTEXT, new(1), round=3)
    second = designer.repair(CONTEXT, first, REFUSED)
    assert second is not None
    third = designer.repair(CONTEXT, second, REFUSED)
    assert third is not None
    assert [(p.id, p.repair_of, p.round, p.sample) for p in (second, third)] == [
        ("r3s0f1", "r3s0", 3, 0),
        ("r3s0f2", "r3s0f1", 3, 0),
    ]
    assert designer.repair(CONTEXT, third, REFUSED) is None
    assert set(model.asked) == {("round-3/propose", 0), ("round-3/repair/r3s0f1", 0), ("round-3/repair/r3s0f2", 0)}


def test_a_reply_without_code_can_be_repaired():
    model = Scripted({("round-1/repair/r1s0f1", 0): CODE})
    designer = ModelDesigner(model)
    (failed,) = designer.propose(CONTEXT, new(1), round=1)
    repaired = designer.repair(CONTEXT, failed, Verdict(candidate="r1s0", accepted=False))
    assert repaired is not None
    assert repaired.code == CODE
    assert "no code" in model.asked["round-1/repair/r1s0f1", 0][-1].content


def test_zero_samples_ask_nothing():
    model = Scripted()
    assert ModelDesigner(model).propose(CONTEXT, [], round=1) == []
    assert model.asked == {}


def test_a_dead_server_is_an_error_not_a_proposal():
    model = Scripted({("round-1/propose", 1): ModelServerError("down")})
    with pytest.raises(ModelServerError):
        ModelDesigner(model).propose(CONTEXT, new(3), round=1)


@pytest.mark.parametrize(("id", "next_id"), [("r1s0", "r1s0f1"), ("r12s30f1", "r12s30f2"), ("r1s0f9", "r1s0f10")])
def test_repair_ids(id, next_id):
    assert repair_id(id) == next_id


def test_over_http_with_several_requests_in_flight():
    def answer(request):
        return f"```python\n{CODE}\n```" if "as few terms" in request["messages"][-1]["content"] else "no"

    with ModelServer([answer]) as server:
        model = OpenAIModel("tiny", base_url=server.url, concurrency=4)
        proposals = ModelDesigner(model, temperature=1.0).propose(CONTEXT, new(4), round=1)
    assert [bool(p.code) for p in proposals] == [False, True, False, False]
    assert all(r["temperature"] == 1.0 for r in server.requests)
