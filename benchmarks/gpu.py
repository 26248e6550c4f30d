"""Verify and time training on a GPU: `python benchmarks/gpu.py`. Without a CUDA device it reports nothing and exits 2.

Policies are trained with the preset `gpu`, once launching every kernel and once replaying recorded graphs, and measured
by the clean evaluator on MuJoCo. Their final fitness has to lie in a band around that of the committed curves
(`gpu_curves.json`), for which MuJoCo's own physics on the CPU took the simulator's part and all else was the same. Host
syncs are counted by torch. The exit code is 1 if a band or the number of syncs is missed.

`--make-curves` trains those curves anew, on the CPU.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from figures import Figures

from rewardsmith.envs import resolve_env
from rewardsmith.reward.compile import compile_reward, reward_jail
from rewardsmith.reward.program import RewardProgram
from rewardsmith.train import PpoConfig, TrainJob, run_train_job
from rewardsmith.train.ppo import PopulationPPO
from rewardsmith.types import Goal, Member

CURVES = Path(__file__).parent / "gpu_curves.json"
BUDGETS = {"inverted_pendulum": 400_000, "half_cheetah": 1_000_000, "hopper": 1_000_000}  # env steps a seed
SEEDS = 4
BAND = 0.2  # of the curves' mean, or three standard errors of the difference if that is more
SYNCS_A_STEP = 8.0  # one tells the host who ended; the others are uploads for the rows that begin anew
TIMED = 5  # iterations


def config(pack: str, **changes: Any) -> PpoConfig:
    return PpoConfig.for_environment(resolve_env(pack), preset="gpu", env_steps=BUDGETS[pack], **changes)


def reward(pack: str) -> RewardProgram:
    """The pack's own dense reward."""
    environment = resolve_env(pack)
    with reward_jail() as jail:
        result = compile_reward(environment.reference_rewards["human"], environment.interface, jail)
    assert result.program is not None, result.findings
    return result.program


def final_fitness(pack: str, ppo: PpoConfig) -> list[float]:
    """Of every seed, by the clean evaluator on MuJoCo."""
    environment = resolve_env(pack)
    with tempfile.TemporaryDirectory() as out:
        job = TrainJob(
            env=environment.spec,
            goal=Goal(kind="native"),
            members=tuple(Member("human", seed) for seed in range(SEEDS)),
            programs={},
            out=out,
            ppo=ppo,
        )
        results = run_train_job(job, programs={"human": reward(pack)})
    failed = [r.error for r in results if r.state != "trained"]
    if failed:
        raise SystemExit(f"{pack}: {len(failed)} of {SEEDS} seeds failed: {failed[0]}")
    return [r.curve[-1].fitness for r in results]


def band(reference: Sequence[float], found: Sequence[float]) -> float:
    """How far the means may be apart."""
    variances = [statistics.variance(values) / len(values) for values in (reference, found)]
    return max(BAND * abs(statistics.mean(reference)), 3 * math.sqrt(sum(variances)))


def speed(pack: str, ppo: PpoConfig) -> tuple[float, float]:
    """Env steps a second, and host syncs a rollout step, of `SEEDS` policies after two iterations for warming up."""
    world = resolve_env(pack).make_device_world(SEEDS * ppo.num_envs, device=ppo.device, captured=ppo.captured)
    members = [Member("human", seed) for seed in range(SEEDS)]
    population = PopulationPPO(world, ppo, members, {"human": reward(pack)}, root=0)
    population.restart_episodes()
    for _ in range(2):
        population.iterate()
    rates = []
    for _ in range(TIMED):
        torch.cuda.synchronize()
        began = time.perf_counter()
        population.iterate()
        torch.cuda.synchronize()
        rates.append(SEEDS * ppo.batch / (time.perf_counter() - began))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        population.iterate()
        torch.cuda.set_sync_debug_mode("default")
    syncs = sum("synchroniz" in str(warning.message) for warning in seen)
    return statistics.median(rates), syncs / ppo.rollout_steps


def make_curves() -> None:
    curves = {pack: final_fitness(pack, config(pack, device="native")) for pack in BUDGETS}
    content = {"settings": {pack: settings(pack) for pack in BUDGETS}, "fitness": curves}
    CURVES.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{CURVES.name}: {curves}")


def settings(pack: str) -> dict[str, Any]:
    """What the curves depend on."""
    return config(pack).model_dump(mode="json", exclude={"device", "captured", "preset"}) | {"seeds": SEEDS}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-curves", action="store_true", help="train the reference curves on the CPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    args = parser.parse_args()
    if args.make_curves:
        make_curves()
        return 0
    if not torch.cuda.is_available():
        print("no CUDA device: there is nothing to verify or to time here", file=sys.stderr)
        return 2
    if not CURVES.is_file():
        raise SystemExit(f"there is no {CURVES.name} to compare with: make it first with --make-curves, on any machine")
    curves = json.loads(CURVES.read_text(encoding="utf-8"))
    figures, missed = Figures(), []
    for pack in BUDGETS:
        if curves["settings"][pack] != settings(pack):
            raise SystemExit(f"{pack}: the settings have changed since {CURVES.name} was made: use --make-curves first")
        reference = curves["fitness"][pack]
        for captured in (False, True):
            name = f"gpu.{pack}.{'captured' if captured else 'launched'}"
            ppo = config(pack, captured=captured)
            rate, syncs = speed(pack, ppo)
            found = final_fitness(pack, ppo)
            apart, allowed = statistics.mean(found) - statistics.mean(reference), band(reference, found)
            figures.add(f"{name}.rate", rate, "/s", f"env steps a second, {SEEDS} policies")
            figures.add(f"{name}.syncs", syncs, "", f"host syncs a rollout step, at most {SYNCS_A_STEP:g}")
            figures.add(f"{name}.fitness", statistics.mean(found), "", "mean over seeds")
            figures.add(f"{name}.apart", apart, "", f"from the curves on the CPU, at most {allowed:.3g}")
            missed += [f"{name}: fitness"] if not abs(apart) <= allowed else []
            missed += [f"{name}: syncs"] if syncs > SYNCS_A_STEP else []
    figures.write(args.json)
    print("missed: " + ", ".join(missed) if missed else "all within their bands")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
