"""Methods of one's own that are at fault: what is told, with the line to look at, and that nothing is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import rewardsmith
from rewardsmith.config import DesignConfig
from rewardsmith.errors import UsageError
from rewardsmith.loop.methods import load_method, make_method, settings_of
from rewardsmith.loop.methods.eureka import Eureka
from rewardsmith.loop.outcome import Outcome
from rewardsmith.types import EnvSpec, Order, Proposal
from tests.loop.runs import tiny_config

HEAD = """from rewardsmith.loop.search import Search
from rewardsmith.types import Order

def helped():
    return {}["key"]

class Mine(Search):
"""
ASK = "    def ask(self, round):\n        "
NEW = 'Order(edit="new")'
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path, monkeypatch) -> Write:
    """Puts a module with a method where it can be imported, and names the method."""
    (tmp_path / "code").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.delitem(sys.modules, "mine", raising=False)

    def written(source: str) -> str:
        (tmp_path / "code" / "mine.py").write_text(source)
        return "mine:Mine"

    yield written
    sys.modules.pop("mine", None)


def outcome(id: str, score: tuple[float, float] | None = (0.5, 1.0)) -> Outcome:
    return Outcome(Proposal(id=id, round=1, sample=0, code="x", origin="model"), score)


@pytest.mark.parametrize(
    ("source", "says", "fix"),
    [
        (
            f"{HEAD}{ASK}return helped()",
            r"failed in ask\(1\): KeyError: 'key' \(.*mine.py line 5: return {}",
            "correct",
        ),
        (f"{HEAD}    pass", r"failed in ask\(1\): NotImplementedError: write `def ask\(self, round\)`", "correct it"),
        (f"{HEAD}    ask = None", r"has no ask\(round\)", "loop.search.Search"),
        (
            f"class Mine:\n    __init__ = lambda self, config: None\n{ASK}return []",
            r"has no tell\(outcomes\)",
            "derive",
        ),
        (
            f"{HEAD}    def ask(self):\n        return []",
            r"has a `ask` that does not take \(round\): too many",
            "methods",
        ),
        (f"class Mine:\n{ASK}return []", r"cannot be made: .*config: TypeError: Mine\(\) takes no arg", "correct it"),
        (f"{HEAD}{ASK}pass", r"gave nothing \(None\) in ask\(1\), not a list", "return a list"),
        (f"{HEAD}{ASK}return {NEW}", r"gave a Order .* not a list of orders", "return a list"),
        (f"{HEAD}{ASK}return []", "asks for nothing in round 1", "at least one Order"),
        (f"{HEAD}{ASK}return [{NEW}, dict(edit='new')]", r"order 2 of 2, for a dict .* not an Order", "Order\\(edit="),
        (f"{HEAD}{ASK}return [Order(edit='mutate')]", r"ValidationError: edit: .*'tweak'.* line 9: return", "correct"),
        (f"{HEAD}{ASK}return [Order(edit='tweak', parents=('r9s9',))]", "a `tweak`: unknown reward 'r9s9'", "ids"),
        (f"{HEAD}{ASK}return [Order(edit='tweak')]", "a `tweak` of 0 parents, which needs 1", "parents="),
        (f"{HEAD}{ASK}return [Order(code='x', id='A b')]", r"a reward with the id 'A b', not \[a-z", "another id"),
        (f"{HEAD}{ASK}return [Order(code='x', id='a')] * 2", "order 2 .* 'a', which another reward has", "or none"),
        (
            f"{HEAD}    templates = 'nosuch'\n{ASK}return [{NEW}]",
            "unknown folder of prompts 'nosuch'.*eureka",
            "correct",
        ),
        (f"{HEAD}    defaults = 8\n{ASK}return [{NEW}]", "has `defaults` that are no dict", "settings by name"),
        (
            f"{HEAD}    defaults = {{'candidate': 8}}\n",
            "unknown setting 'candidate'; did you mean candidates",
            "correct",
        ),
        ("1 / 0\nclass Mine: pass", r"cannot be imported: ZeroDivisionError: .*mine.py line 1: 1 / 0\)", "correct it"),
        ("class Mine:", "cannot be imported: IndentationError: .*mine.py, line 1", "correct it"),
        ("Mine = 3", "is no class", "module:Class"),
    ],
)
def test_a_fault_is_told_before_a_run_is_made(source, says, fix, write, tmp_path) -> None:
    name = write(source)
    with pytest.raises(UsageError, match=f"the method {name}.*{says}") as caught:
        options = settings_of(name, {"env": EnvSpec(name="mountain_car_continuous")})
        rewardsmith.design_reward(DesignConfig.model_validate(options), runs=tmp_path / "runs")
    assert fix.replace("\\", "") in caught.value.hint and "resume" not in caught.value.hint
    assert not (tmp_path / "runs").exists()


def test_a_file_in_the_place_of_a_module_is_told_as_that() -> None:
    with pytest.raises(UsageError, match="names a file") as caught:
        load_method("code/mine.py:Mine")
    assert "with code in PYTHONPATH it is mine:Mine" in caught.value.hint


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ("Order(edit='restructure', parents=('r1s7',))", "asks in round 2, order 1 of 1.*unknown reward 'r1s7'.*r1s0"),
        ("Order(edit='crossover', parents=('r1s0',))", "a `crossover` of 1 parent, which needs 2"),
        ("Order(edit='tune', parents=('r1s1',))", "a `tune`: unknown trained reward 'r1s1'.*Known: r1s0\n"),
        ("Order(code='x', id='r1s0')", "'r1s0', which another reward has"),
        ("Order(edit='tune', parents=('r1s0',))", None),
        ("Order(edit='crossover', parents=('r1s0', 'r1s1'))", None),
    ],
)
def test_orders_of_later_rounds_name_what_was_told(second, says, write) -> None:
    name = write(f"{HEAD}{ASK}return [{NEW}] if round == 1 else [{second}]")
    method = make_method(tiny_config(method=name), fix="and so on")
    method.ask(1)
    method.tell([outcome("r1s0"), outcome("r1s1", None)])
    if says is None:
        assert len(method.ask(2)) == 1
        return
    with pytest.raises(UsageError, match=says) as caught:
        method.ask(2)
    assert caught.value.hint.endswith("; and so on")


def test_a_reward_that_is_given_can_be_a_parent_in_the_same_round(write) -> None:
    name = write(f"{HEAD}{ASK}return [Order(code='x', id='a'), Order(edit='tweak', parents=('a',))]")
    assert len(make_method(tiny_config(method=name)).ask(1)) == 2


def test_what_a_method_of_rewardsmith_raises_is_a_bug_and_passes(monkeypatch) -> None:
    monkeypatch.setattr(Eureka, "ask", lambda self, round: {}["key"])
    with pytest.raises(KeyError):
        make_method(tiny_config(method="eureka")).ask(1)


@pytest.mark.parametrize("fails", ["ask", "tell"])
def test_a_fault_in_a_run_loses_nothing(fails, write, tmp_path, one_jail, training_here) -> None:
    ask = f"{HEAD}{ASK}return [{NEW}] if round == 1 else [self.best.nope]\n"
    tell = "    def tell(self, outcomes):\n        outcomes[7]\n"
    name = write(ask if fails == "ask" else f"{ask}{tell}")
    with pytest.raises(UsageError, match=rf"the method mine:Mine failed in {fails}.*mine.py line") as caught:
        rewardsmith.design_reward(tiny_config(method=name, rounds=2), runs=tmp_path)
    (run,) = (path for path in tmp_path.iterdir() if path.name != "code")
    assert f"rewardsmith resume {run}" in caught.value.hint
    assert isinstance(caught.value.__cause__, AttributeError if fails == "ask" else IndexError)
    trained = [p.stat().st_mtime_ns for p in Path(run).glob("candidates/*/seeds/*/policy.safetensors")]
    write(f"{HEAD}{ASK}return [{NEW}] if round == 1 else []")
    del sys.modules["mine"]
    summary = rewardsmith.resume_run(run)
    assert summary.finished and summary.best == "r1s0"
    assert trained == [p.stat().st_mtime_ns for p in Path(run).glob("candidates/*/seeds/*/policy.safetensors")]


def test_an_answer_is_a_list_of_orders_and_may_be_empty_later(write) -> None:
    method = make_method(tiny_config(method=write(f"{HEAD}{ASK}return [{NEW}] if round == 1 else ()")))
    assert method.ask(1) == [Order(edit="new")] and not method.ask(2)
