"""The searches that were tried against the default method ask for what can be made, and for the same again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.searches import Islands, Tree
from rewardsmith.config import DesignConfig
from rewardsmith.loop.batch.cells import plan_experiment
from rewardsmith.loop.batch.experiment import load_experiment
from rewardsmith.loop.outcome import Outcome
from rewardsmith.types import Proposal

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def played(kind, rounds: int = 6, seed: int = 0):
    """A search on a landscape where children are a little better or worse than their first parent."""
    rng = np.random.default_rng(seed)
    search = kind(DesignConfig.model_validate({"env": {"name": "hopper"}, "candidates": 6}))
    value: dict[str, float] = {}
    asked = []
    for round in range(1, rounds + 1):
        orders = search.ask(round)
        asked.append(orders)
        outcomes = []
        for sample, order in enumerate(orders):
            assert all(parent in value for parent in order.parents), "a parent is something that was trained"
            id = f"r{round}s{sample}"
            proposal = Proposal(id=id, round=round, sample=sample, code="x", origin="model", parents=order.parents)
            if rng.random() < 0.2:
                outcomes.append(Outcome(proposal))  # refused
                continue
            value[id] = (value[order.parents[0]] if order.parents else 0.0) + rng.normal()
            outcomes.append(Outcome(proposal, (0.0, value[id])))
        search.tell(outcomes)
    return asked, search


@pytest.mark.parametrize("kind", [Islands, Tree])
def test_a_search_starts_with_ideas_then_breeds_and_asks_the_same_again(kind) -> None:
    asked, search = played(kind)
    assert [o.edit for o in asked[0]] == ["new"] * 6 and len({o.idea for o in asked[0]}) == 6
    assert all(len(orders) == 6 for orders in asked)
    assert any(o.parents for orders in asked[1:] for o in orders)
    assert played(kind)[0] == asked
    assert search.best is not None and search.best.score is not None and search.best.score[1] > 1.0, (
        "what is bred gets better"
    )


def test_islands_cross_their_own_and_forget_the_worse_half() -> None:
    asked, search = played(Islands, rounds=10)
    edits = [o.edit for orders in asked[1:] for o in orders]
    assert {"crossover", "tweak"} <= set(edits)
    assert all(len(o.parents) == 2 for orders in asked for o in orders if o.edit == "crossover")
    assert sum(len(island) for island in search._members) < len(search.scored)


def test_the_tree_grows_where_it_is_good_and_goes_on_trying_ideas() -> None:
    asked, search = played(Tree, rounds=10)
    later = [o for orders in asked[5:] for o in orders]
    assert 0 < sum(o.edit == "new" for o in later) < len(later) / 2
    assert search.best is not None and search._size(search.best.proposal.parents[0]) > 1


def test_the_comparison_is_an_experiment_that_can_be_run() -> None:
    plan = plan_experiment(load_experiment(BENCHMARKS / "searches.toml"))
    assert len(plan.cells) >= 8 * 4
