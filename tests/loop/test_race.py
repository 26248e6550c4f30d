"""What a run tells of a race, and that its budget is asked again before finalists get more seeds."""

from __future__ import annotations

import pytest

from rewardsmith.config import DesignConfig
from rewardsmith.loop import parts as parts_module
from rewardsmith.loop.events import CandidateChanged, Said
from rewardsmith.loop.failing import reason
from rewardsmith.loop.parts import Parts
from rewardsmith.loop.summary import Candidate
from rewardsmith.store import RunFolder
from rewardsmith.train import RacingConfig, Rung
from rewardsmith.train.racing import judge
from rewardsmith.types import CandidateState, EnvSpec, Goal, Proposal, Task, TrainingResult
from tests.loop.runs import ENV, tiny_config
from tests.train.test_racing import field


def test_a_race_is_told_and_asks_the_budget(tmp_path, monkeypatch) -> None:
    config = tiny_config(racing=True, finalist_seeds=3, budget={"env_steps": 10_000})
    events, asked = [], []
    results = field(a=3.0, b=2.0, c=1.0)
    standings = judge(results, RacingConfig(keep=0.5, at_most=0.7))

    def race(*args, racing, spared, on_rung, affords, **kwargs) -> dict[str, TrainingResult]:
        asked.append((racing.enabled, racing.finalist_seeds, list(spared), affords(10_000), affords(10_001)))
        on_rung(Rung(100, standings, (1, 2)))
        return {c: TrainingResult(candidate=c, members=tuple(m), race=(standings[c],)) for c, m in results.items()}

    monkeypatch.setattr(parts_module, "train_population", race)
    folder = RunFolder.create(tmp_path, config.model_dump(mode="json"), env=ENV)
    parts = Parts(folder, config, events.append)
    parts.task = Task(env=EnvSpec(name=ENV), words="", goal=Goal(kind="native"))
    try:
        trained = parts.train("round-1", dict.fromkeys("abc", tmp_path), seeds=[0], spared=["a"])
    finally:
        parts.close()
    assert asked == [(True, 3, ["a"], True, False)]
    dropped = [e for e in events if isinstance(e, CandidateChanged)]
    assert [(e.candidate, e.state) for e in dropped] == [("c", CandidateState.DROPPED)]
    assert "fitness 1 [1, 1] against 2 [2, 2] of b at the cut" in dropped[0].detail
    said = [e.text for e in events if isinstance(e, Said)]
    assert said == ["a, b train 2 more seeds each (2,048 env steps a candidate), from what the dropped ones left"]
    proposal = Proposal(id="c", round=1, sample=0, code="", origin="builtin")
    assert reason(Candidate(proposal=proposal, training=trained["c"])) == dropped[0].detail


@pytest.mark.parametrize("setting", ["seeds", "finalist_seeds"])
def test_search_seeds_never_reach_the_fresh_ones(setting: str) -> None:
    with pytest.raises(ValueError, match="1000"):
        tiny_config(**{setting: 1001})
    assert DesignConfig(env=EnvSpec(name=ENV), **{setting: 1000})
