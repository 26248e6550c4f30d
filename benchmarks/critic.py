"""How long the critic takes, and what a reward costs in training: `python benchmarks/critic.py`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from figures import Figures, median_ms, options

from rewardsmith.bank import record_bank, record_simple
from rewardsmith.critic.critic import Critic
from rewardsmith.envs import resolve_env
from rewardsmith.loop.distances import measure_distances
from rewardsmith.reward.compile import compile_reward, prepare, reward_jail
from rewardsmith.reward.gate import check_source

REWARD = '''
def compute_reward(obs, action, next_obs, *, speed={a}, upright=0.5, width=0.1, effort=0.05, smooth=0.01, alive=0.5):
    """A typical reward of six components."""
    forward = speed * next_obs["forward_velocity"]
    posture = upright * torch.exp(-((next_obs["torso_pitch"] / width) ** 2))
    height = torch.tanh((next_obs["torso_height"] - 1.0) / 0.2)
    cost = -effort * (action**2).sum(dim=-1)
    calm = -smooth * next_obs["joint_velocities"].square().sum(dim=-1)
    living = torch.where(next_obs["terminated"], 0.0, alive)
    total = forward + posture + height + cost + calm + living
    return total, {{
        "forward": forward, "posture": posture, "height": height, "cost": cost, "calm": calm, "living": living
    }}
'''
CANDIDATES = 8
ROWS = 32_768
BANK = 20_000
SCORED = 100_000
COMPARED = 10


def main() -> None:
    args = options(__doc__ or "")
    repeats = 10 if args.quick else 40
    torch.set_num_threads(1)
    figures = Figures()
    environment = resolve_env("hopper")
    bank = record_bank(environment, transitions=BANK, seed=0)
    simple = record_simple(environment, seed=0)
    goals = environment.goal_states(256, np.random.default_rng(0))
    codes = [REWARD.format(a=1.0 + i / 10) for i in range(CANDIDATES)]
    gate_ms = median_ms(lambda: check_source(codes[0], environment.interface), repeats)
    figures.add("critic.gate_ms", gate_ms, "ms", "static gate, one candidate")
    with reward_jail() as jail:
        start = time.perf_counter()
        prepare(jail)
        critic = Critic(environment.interface, jail, bank=bank, goal_states=goals, simple=simple, words="hop forward")
        critic.check(codes[0])
        cold_ms = 1e3 * (time.perf_counter() - start)
        figures.add("critic.cold_ms", cold_ms, "ms", "the first critique, the jail's start included")
        compile_ms = median_ms(lambda: compile_reward(codes[0], environment.interface, jail), repeats)
        figures.add("critic.compile_ms", compile_ms, "ms", "gate, jailed trace and graph check, warm")
        programs = [compile_reward(code, environment.interface, jail).program for code in codes]
        for number, program in enumerate(programs[1:]):
            assert program is not None
            critic.remember(f"tried-{number}", program)
        warm_ms = median_ms(lambda: critic.check(codes[0]), repeats)
        about = f"full critique on a bank of {BANK:,} transitions and {CANDIDATES - 1} rewards tried, warm"
        figures.add("critic.warm_ms", warm_ms, "ms", about)
    rows = torch.randint(len(bank), (ROWS,), generator=torch.Generator().manual_seed(0))
    obs = {name: value[rows] for name, value in bank.obs.items()}
    next_obs = {name: value[rows] for name, value in bank.next_obs.items()}
    action = bank.action[rows]

    def all_candidates() -> None:
        with torch.inference_mode():
            for program in programs:
                assert program is not None
                program(obs, action, next_obs)

    cost_us = 1e3 * median_ms(all_candidates, repeats) / ROWS
    figures.add("reward_cost_us", cost_us, "us", f"{CANDIDATES} rewards of 6 components, per env step ({ROWS:,} rows)")
    rows = torch.randint(len(bank), (SCORED,), generator=torch.Generator().manual_seed(1))
    obs = {name: value[rows] for name, value in bank.obs.items()}
    next_obs = {name: value[rows] for name, value in bank.next_obs.items()}
    action = bank.action[rows]

    def one() -> None:
        with torch.inference_mode():
            assert programs[0] is not None
            programs[0](obs, action, next_obs)

    figures.add("bank_score_ms", median_ms(one, repeats), "ms", f"one reward on {SCORED:,} transitions")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"reward_{i}.py") for i in range(COMPARED)]
        for i, file in enumerate(files):
            file.write_text(REWARD.format(a=0.1 + i / 2))
        start = time.perf_counter()
        measure_distances("hopper", files)
        figures.add(
            "compare_s", time.perf_counter() - start, "s", f"STARC, EPIC and DARD of {COMPARED} rewards on hopper"
        )
    figures.write(args.json)


if __name__ == "__main__":
    main()
