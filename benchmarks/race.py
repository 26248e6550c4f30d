"""Wall time of a whole race: `python benchmarks/race.py`.

Eight rewards of six components each train with two seeds and 1,000,000 env steps a seed on HalfCheetah, preset `fast`,
with everything that a design run does: processes, evaluations, checkpoints, racing. Once as published, where the freed
steps are saved, and once with the default, where they give the finalists more seeds.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from figures import Figures, options
from rewards import RUNNER, graphs

from rewardsmith.engine import LocalEngine
from rewardsmith.envs import resolve_env
from rewardsmith.train import PpoConfig, train_population
from rewardsmith.train.racing import RacingConfig
from rewardsmith.types import Goal

PACK, SEEDS, ENV_STEPS, TARGET_MIN = "half_cheetah", (0, 1), 1_000_000, 5.0


def race(programs: dict[str, Path], out: Path, env_steps: int, finalist_seeds: int) -> tuple[float, int]:
    """Wall minutes, and env steps trained by all members."""
    environment = resolve_env(PACK)
    began = time.monotonic()
    results = train_population(
        environment.spec,
        Goal(kind="pack", task=environment.default_task or ""),
        programs,
        seeds=SEEDS,
        ppo=PpoConfig.for_environment(environment, env_steps=env_steps),
        engine=LocalEngine(),
        out=out,
        racing=RacingConfig(finalist_seeds=finalist_seeds),
    )
    members = [m for r in results.values() for m in r.members]
    assert {m.state for m in members} <= {"trained", "dropped"}, [m.error for m in members]
    return (time.monotonic() - began) / 60, sum(m.env_steps for m in members)


def main() -> None:
    args = options(__doc__ or "")
    env_steps = 200_000 if args.quick else ENV_STEPS
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        programs = {}
        for candidate, graph in graphs(PACK, RUNNER).items():
            programs[candidate] = Path(folder) / f"{candidate}.json"
            programs[candidate].write_text(graph, encoding="utf-8")
        for name, finalist_seeds in (("saved", len(SEEDS)), ("spent", RacingConfig().finalist_seeds)):
            minutes, trained = race(programs, Path(folder) / name, env_steps, finalist_seeds)
            about = f"wall time, {env_steps:,} env steps a seed, freed steps {name}; target {TARGET_MIN:g} at 1,000,000"
            figures.add(f"race.{name}.minutes", minutes, "min", about)
            figures.add(f"race.{name}.env_steps", float(trained), "", f"of {len(programs) * len(SEEDS) * env_steps:,}")
    figures.write(args.json)


if __name__ == "__main__":
    main()
