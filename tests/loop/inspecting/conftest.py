from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rewardsmith.envs import resolve_env
from rewardsmith.jail import Jail
from rewardsmith.loop.inspecting import inspection
from rewardsmith.reward.compile import compile_reward, reward_jail
from rewardsmith.reward.program import RewardProgram
from rewardsmith.store import RunFolder
from rewardsmith.types import Goal, Proposal, Task, TrainingResult, Verdict
from tests.clips.players import policy_for
from tests.loop.runs import ENV, tiny_config
from tests.loop.test_summary import member

CLIMB = '''def compute_reward(obs, action, next_obs, *, weight=1.0, cost=0.1):
    """Height, and a cost of force."""
    climb = weight * (next_obs["height"] - obs["height"])
    force = -cost * action[:, 0] ** 2
    return climb + force, {"climb": climb, "force": force}
'''
PLACE = '''def compute_reward(obs, action, next_obs, *, weight=2.0):
    """How far to the right, and a bonus there."""
    place = weight * next_obs["position"]
    bonus = 10.0 * (next_obs["position"] > -0.45).float()
    return place * next_obs["velocity"].abs() + bonus, {"place": place, "bonus": bonus}
'''
FURTHEST = '''def initial_memory(n):
    return {"best": torch.full((n, 1), -2.0)}

def potential(obs, *, pull=0.5):
    return pull * obs["position"]

def compute_reward(obs, action, next_obs, memory, *, weight=1.0):
    """Pays for a new furthest position."""
    best = torch.maximum(memory["best"], next_obs["position"][:, None])
    gain = weight * (best - memory["best"])[:, 0]
    return gain, {"gain": gain}, {"best": best}
'''


@pytest.fixture(scope="session")
def jail() -> Iterator[Jail]:
    with reward_jail() as jail:
        yield jail


@pytest.fixture
def compiled(jail) -> Callable[[str], RewardProgram]:
    interface = resolve_env(ENV).interface

    def compile_it(code: str) -> RewardProgram:
        program = compile_reward(code, interface, jail).program
        assert program is not None
        return program

    return compile_it


@pytest.fixture
def warm(jail, monkeypatch) -> None:
    """One jail for all inspections of a test session: each would start its own."""
    monkeypatch.setattr(jail, "close", lambda: None)
    monkeypatch.setattr(inspection, "reward_jail", lambda *, allow_unsandboxed: jail)


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    found = {}
    for name, code in {"climb": CLIMB, "place": PLACE, "furthest": FURTHEST}.items():
        found[name] = tmp_path / f"{name}.py"
        found[name].write_text(code)
    return found


@pytest.fixture
def run(tmp_path) -> Path:
    """A finished run of two candidates; on the best one, r1s0, a policy with random weights was trained."""
    config = tiny_config()
    folder = RunFolder.create(tmp_path / "runs", config.model_dump(mode="json"), env=ENV)
    codes = {"r1s0": PLACE, "r1s1": CLIMB}
    proposals = [Proposal(id=id, round=1, sample=n, code=c, origin="model") for n, (id, c) in enumerate(codes.items())]
    trained = TrainingResult(candidate="r1s0", members=(member(),))
    records: dict[str, object] = {
        "task": Task(env=config.env, words="", goal=Goal(kind="pack", task="reach")).model_dump(mode="json"),
        "round-1/proposals": [proposal.model_dump(mode="json") for proposal in proposals],
        "round-1/training": {"r1s0": trained.model_dump(mode="json")},
        "finished": {"best": "r1s0"},
    }
    records |= {f"candidate/{id}/verdict": Verdict(candidate=id, accepted=True).model_dump(mode="json") for id in codes}
    with folder.journal() as journal:
        for key, payload in records.items():
            journal.put(key, payload)
    for id, code in codes.items():
        folder.candidate(id).write_reward(code)
    policy_for(resolve_env(ENV)).save(folder.candidate("r1s0").seed(0) / "policy.safetensors")
    return folder.root
