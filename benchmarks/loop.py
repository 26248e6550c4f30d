"""From the prompt to the report at stable-eureka's setting: `python benchmarks/loop.py`.

The whole design loop on HalfCheetah: 5 rounds of 8 rewards of six components, 1,000,000 env steps each, no racing, one
seed, preset `fast`. The replies are recorded ones, so that a model's speed does not count; all else is what a user's
run does: prompts, static gate, jail, critic, PPO with its evaluations, analysis, film, report. The peer is the time
that two Stable-Baselines3 jobs at once, with the same settings, would take for the 40 trainings alone, by their rate.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from figures import Figures, options
from rewards import RUNNER
from teams import Team, in_turns, median_rate
from throughput import SETTINGS, prepare_sb3

from rewardsmith import design_reward
from rewardsmith.config import DesignConfig, ModelConfig
from rewardsmith.llm.cassette import Take
from rewardsmith.llm.messages import Completion
from rewardsmith.types import CandidateState, EnvSpec

PACK, ROUNDS, CANDIDATES, ENV_STEPS = "half_cheetah", 5, 8, 1_000_000
TARGET_MIN, PEER_MIN = 20.0, 52.0  # what is aimed at, and what the peer took on the machine where that was set
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


def peer_rate(repeats: int) -> float:
    """Env steps a second of two Stable-Baselines3 jobs at once."""
    setting = next(setting for setting in SETTINGS if setting.name == "half_cheetah_tuned")
    jobs = [{"gymnasium": setting.gymnasium, "seed": seed, "arguments": setting.sb3} for seed in (0, 1)]
    team = Team(prepare_sb3, jobs)
    turns = in_turns({"sb3": team}, repeats)
    team.close()
    return median_rate(turns["sb3"])


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
    trained = rounds * CANDIDATES * env_steps
    peer = trained / peer_rate(2 if args.quick else 7) / 60
    figures.add("loop.minutes", minutes, "min", f"{rounds} x {CANDIDATES} rewards x {env_steps:,} env steps on {PACK}")
    figures.add("loop.sb3_minutes", peer, "min", "the trainings alone, by Stable-Baselines3's rate")
    target = f"target {PEER_MIN:g} / {TARGET_MIN:g} = {PEER_MIN / TARGET_MIN:.1f} at 5 x 8 x 1M"
    figures.add("loop.ratio", peer / minutes, "x", f"Stable-Baselines3's time over ours, {target}")
    figures.add("loop.best_fitness", best.final_scores[0][1], "m", "the best reward's")
    figures.write(args.json)


if __name__ == "__main__":
    main()
