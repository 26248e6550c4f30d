"""Who goes on after a rung, and who gets the freed steps, on made-up results."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.analyze.race import ordinal, why
from rewardsmith.train import PpoConfig, RacingConfig
from rewardsmith.train.config import schedule
from rewardsmith.train.racing import judge, more_seeds, standing
from rewardsmith.types import CurvePoint, Member, MemberResult


def member(
    candidate: str, seed: int, episodes: list[tuple[float, float]], state: str = "trained", steps: int = 100
) -> MemberResult:
    """One that ended its last evaluation with these episodes (success, fitness)."""
    n = len(episodes)
    success, fitness = (sum(column) / n for column in zip(*episodes, strict=True))
    point = CurvePoint(env_steps=steps, fitness=fitness, success=success, episode_length=1, episodes=n)
    return MemberResult.model_validate(
        {"candidate": candidate, "seed": seed, "state": state, "env_steps": steps, "wall_s": 0, "curve": (point,)}
        | {"kept": {"env_steps": steps, "episodes": tuple(episodes)}}
    )


def field(**fitness: float) -> dict[str, list[MemberResult]]:
    """Candidates with sharply known fitness and no success."""
    return {c: [member(c, s, [(0.0, f)] * 4) for s in (0, 1)] for c, f in fitness.items()}


def survivors(candidates: dict[str, list[MemberResult]], **changes: float) -> list[str]:
    return [c for c, s in judge(candidates, RacingConfig.model_validate(changes)).items() if s.kept]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 8])
def test_a_rung_always_drops_to_three_quarters(count: int) -> None:
    clear = field(**{chr(97 + i): float(i) for i in range(count)})
    tied = field(**{chr(97 + i): 1.0 for i in range(count)})
    kept = survivors(clear)
    assert kept == sorted(clear, reverse=True)[: (count + 1) // 2]
    assert len(survivors(tied)) == (max(1, int(count * 0.75)) if count else 0)


@pytest.mark.parametrize("fitness", [-1.0, 2.0, 9.0])
@pytest.mark.parametrize("others", [1, 2, 6])
def test_who_is_spared_goes_on_and_takes_nobodys_place(others: int, fitness: float) -> None:
    rivals = field(**{chr(97 + i): float(i) for i in range(others)})
    judged = judge({**field(start=fitness), **rivals}, RacingConfig(), spared=["start"])
    alone = judge(rivals, RacingConfig())
    assert judged["start"].kept and [c for c, s in judged.items() if s.kept and c != "start"] == survivors(rivals)
    assert {c: (s.verdict, s.cut) for c, s in judged.items() if c != "start"} == {
        c: (s.verdict, s.cut) for c, s in alone.items()
    }
    below = judged["start"].place > judged[judged["start"].cut].place
    assert judged["start"].verdict == ("spared" if below else "ahead")
    assert ("it went on all the same" in why(judged["start"])) == below


def test_who_is_spared_may_be_all_that_is_left_and_is_out_when_it_failed() -> None:
    start = field(start=1.0)
    dead = [m.model_copy(update={"state": "diverged"}) for m in start["start"]]
    assert judge(start, RacingConfig(), spared=["start"])["start"].verdict == "ahead"
    assert "start" not in judge({**field(a=1.0), "start": dead}, RacingConfig(), spared=["start"])


def test_success_comes_before_fitness() -> None:
    candidates = {
        "fit": [member("fit", 0, [(0.0, 100.0)] * 4)],
        "able": [member("able", 0, [(1.0, 1.0)] * 4)],
    }
    assert survivors(candidates) == ["able"]


def test_candidates_with_failed_members_come_last_and_dead_ones_are_out() -> None:
    candidates = field(a=3.0, b=2.0, c=1.0)
    candidates["a"][1] = candidates["a"][1].model_copy(update={"state": "diverged"})
    candidates["c"] = [m.model_copy(update={"state": "crashed_reward"}) for m in candidates["c"]]
    judged = judge(candidates, RacingConfig(keep=0.75))
    assert {c: (s.kept, s.failed) for c, s in judged.items()} == {"b": (True, 0), "a": (False, 1)}
    assert standing(candidates["c"]).failed == -2


@settings(max_examples=20, deadline=None)
@given(st.permutations("abcde"), st.lists(st.sampled_from([0.0, 1.0, 2.0, 5.0]), min_size=5, max_size=5))
def test_neither_order_nor_what_rewards_say_of_themselves_changes_anything(
    order: list[str], fitness: list[float]
) -> None:
    def boasting(result: MemberResult) -> MemberResult:
        claims = {"reward": 1e9, "components": {"mine": 1e9}}
        return result.model_copy(update={"curve": tuple(p.model_copy(update=claims) for p in result.curve)})

    candidates = field(**dict(zip("abcde", fitness, strict=True)))
    judged = judge({c: [boasting(m) for m in candidates[c]] for c in order}, RacingConfig())
    assert list(judged.items()) == list(judge(candidates, RacingConfig()).items())


def test_renaming_candidates_renames_the_result() -> None:
    assert survivors(field(x=3.0, y=1.0, z=2.0)) == ["x", "z"]
    assert survivors(field(x=1.0, y=3.0, z=2.0)) == ["y", "z"]


def test_a_standing_says_why() -> None:
    episodes = {
        "best": [5.0] * 8,
        "cut": [2.0, 4.0] * 4,
        "close": [1.5, 3.5] * 4,
        "crowded": [1.2, 3.4] * 4,
        "far": [0.0] * 8,
    }
    candidates = {c: [member(c, s, [(0.0, f) for f in fs]) for s in (0, 1)] for c, fs in episodes.items()}
    judged = judge(candidates, RacingConfig(keep=0.4, at_most=0.6))
    assert {c: s.verdict for c, s in judged.items()} == {
        "best": "ahead", "cut": "ahead", "close": "close", "crowded": "crowded_out", "far": "behind",
    }  # fmt: skip
    assert {s.cut for s in judged.values()} == {"cut"} and {s.cut_measure for s in judged.values()} == {"fitness"}
    assert judged["far"].over == "episodes, not seeds"
    about = " (intervals over episodes, not seeds)"
    assert why(judged["best"]) == f"1st of 5 at 100 env steps: fitness 5 [5, 5]{about}"
    assert why(judged["far"]).endswith(f"fitness 0 [0, 0] against 3 [2.5, 3.5] of cut at the cut{about}")
    assert "not seeds" not in why(judged["far"].model_copy(update={"over": "seeds"}))
    assert "too close to call, so it went on" in why(judged["close"])
    assert "no more could go on" in why(judged["crowded"])
    assert "1 seed failed" in why(judged["far"].model_copy(update={"failed": 1}))
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21)] == ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st"]


def test_the_interval_belongs_to_the_mean_that_ranks() -> None:
    """An interquartile mean would say that 15 of 16 are all."""
    candidates = {"most": [member("most", s, [(float(s + i > 0), 0.0) for i in range(8)]) for s in (0, 1)]}
    (found,) = judge(candidates, RacingConfig()).values()
    assert found.success.value == 15 / 16 and found.success.low < 15 / 16 < found.success.high == 1.0


def test_three_seeds_are_compared_as_seeds() -> None:
    candidates = {
        c: [member(c, s, [(0.0, f + s), (0.0, f - s)]) for s in range(3)] for c, f in {"a": 1.0, "b": 2.0}.items()
    }
    judged = judge(candidates, RacingConfig())
    assert {s.over for s in judged.values()} == {"seeds"}
    assert (judged["a"].fitness.low, judged["a"].fitness.high) == (1.0, 1.0)  # every seed's mean is the same


# --- the freed steps -----------------------------------------------------------------------------------------------


def after_the_last_rung(finalists: int, dropped: int, seeds: int = 2) -> dict[Member, MemberResult]:
    """Finalists half way through 1,000 steps; the others went after 250."""
    results = {}
    for i in range(finalists + dropped):
        state, steps = ("trained", 500) if i < finalists else ("dropped", 250)
        results |= {Member(f"c{i}", s): member(f"c{i}", s, [(0, 0)], state, steps) for s in range(seeds)}
    return results


@pytest.mark.parametrize(
    ("finalists", "dropped", "seeds", "wanted", "more"),
    [
        (2, 6, 2, 4, (2, 3)),  # 9,000 steps are free, 4,000 are wanted
        (2, 6, 2, 100, (2, 3, 4, 5)),  # as many as 9,000 pay
        (3, 1, 2, 4, ()),  # 1,500 steps do not pay one seed for each
        (4, 4, 2, 4, (2,)),
        (1, 7, 2, 4, ()),  # nobody to be told from
        (2, 6, 4, 4, ()),  # enough seeds
        (2, 6, 5, 4, ()),
        (0, 8, 2, 4, ()),
        (2, 0, 2, 4, ()),
    ],
)
def test_seeds_of_finalists_are_bounded(
    finalists: int, dropped: int, seeds: int, wanted: int, more: tuple[int, ...]
) -> None:
    results = after_the_last_rung(finalists, dropped, seeds)
    config = RacingConfig(finalist_seeds=wanted)
    assert more_seeds(results, cost=1000, affords=lambda _: True, config=config) == more
    assert more_seeds(results, cost=1000, affords=lambda _: False, config=config) == ()
    spent = sum(r.env_steps for r in results.values()) + finalists * (seeds * 500 + len(more) * 1000)
    assert spent <= len(results) * 1000 or not more


def test_the_whole_cost_is_asked_for_evaluations_included() -> None:
    results = {m: r.model_copy(update={"eval_env_steps": 10}) for m, r in after_the_last_rung(2, 2).items()}
    asked: list[int] = []
    more_seeds(results, cost=1000, affords=lambda n: asked.append(n) is None, config=RacingConfig())
    assert asked == [4 * 250 + 8 * 10 + 4 * 1000 + 2 * 1000]


def test_rungs_fall_on_evaluations_and_never_on_the_end() -> None:
    def iterations(rungs: tuple[float, ...], evaluations: int) -> list[int]:
        ppo = PpoConfig(env_steps=100 * 2048, evaluations=evaluations)
        return RacingConfig(rungs=rungs).iterations(schedule(ppo))

    assert iterations((0.25, 0.5), 10) == [30, 50]
    assert iterations((0.25, 0.5), 2) == [50]
    assert iterations((0.25, 0.5), 1) == []
    assert iterations((0.95,), 10) == []
    assert RacingConfig(enabled=False).iterations(schedule(PpoConfig())) == []
