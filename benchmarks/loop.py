"""From the prompt to the report at stable-eureka's setting: `python benchmarks/loop.py`.

The whole design loop on HalfCheetah: 5 rounds of 8 rewards of six components, 1,000,000 env steps each, no racing, one
seed, preset `fast`. The replies are recorded ones, so that a model's speed does not count; all else is what a user's
run does: prompts, static gate, jail, critic, PPO with its evaluations, analysis, film, report. Stable-Baselines3 with
the same settings takes 52 minutes for the 40 trainings alone (12,900 env steps a second, see `throughput.py`).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from figures import Figures, options
from rewards import RUNNER

from rewardsmith import design_reward
from rewardsmith.config import DesignConfig, ModelConfig
from rewardsmith.llm.cassette import Take
from rewardsmith.llm.messages import Completion
from rewardsmith.types import CandidateState, EnvSpec

PACK, ROUNDS, CANDIDATES, ENV_STEPS = "half_cheetah", 5, 8, 1_000_000
TARGET_MIN = 20.0
# What the rewards of a round pay for the speed, and what those of different rounds do for effort and posture.
SPEED = (
    "{}",
    "{}.clamp(max=0.5)",
    "{}.clamp(-0.5, 0.5)",
    "torch.tanh({})",
    "torch.sigmoid(4 * {} - 8)",
    "{}.clamp(max=0.0)",
    "-(({} - 1.5) ** 2)",
    "({} > 1.0).float()",
)
EFFORT = (0.1, 0.5, 0.02, 1.0, 0.2)
UPRIGHT = (0.5, 0.0, 2.0, 0.2, 4.0)


def record(path: Path, rounds: int) -> None:
    """A cassette of rewards that differ in their weights, far enough for the critic to take none for a duplicate."""
    lines = []
    for round in range(rounds):
        for sample, pay in enumerate(SPEED):
            code = RUNNER.format(a=1.0).replace(
                'next_obs["forward_velocity"]', pay.format('next_obs["forward_velocity"]')
            )
            code = code.replace("effort=0.1", f"effort={EFFORT[round]}").replace(
                "upright=0.5", f"upright={UPRIGHT[round]}"
            )
            reply = Completion(text=f"```python\n{code}\n```", model="recorded")
            lines.append(Take(step=f"round-{round + 1}/propose", sample=sample, prompt="", completion=reply))
    path.write_text("".join(f"{line.model_dump_json()}\n" for line in lines), encoding="utf-8")


def main() -> None:
    args = options(__doc__ or "")
    rounds, env_steps = (2, 50_000) if args.quick else (ROUNDS, ENV_STEPS)
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        cassette = Path(folder, "replies.jsonl")
        record(cassette, rounds)
        config = DesignConfig(
            env=EnvSpec(name=PACK),
            model=ModelConfig(llm=f"replay:{cassette}"),
            rounds=rounds,
            candidates=CANDIDATES,
            seeds=1,
            racing=False,
            final_seeds=0,
            training={"env_steps": env_steps},
        )
        began = time.monotonic()
        run = design_reward(config, runs=Path(folder, "runs"))
        minutes = (time.monotonic() - began) / 60
    states = [candidate.state for candidate in run.candidates]
    assert states.count(CandidateState.OUTSCORED) == rounds * CANDIDATES - 1, states  # all but the accepted one
    best = run.candidate(run.best or "").training
    assert best is not None
    about = f"{rounds} x {CANDIDATES} rewards x {env_steps:,} env steps on {PACK}; target {TARGET_MIN:g} at 5 x 8 x 1M"
    figures.add("loop.minutes", minutes, "min", about)
    figures.add("loop.best_fitness", best.final_scores[0][1], "m", "the best reward's")
    figures.write(args.json)


if __name__ == "__main__":
    main()
