"""How much of the raw physics rate is left when policies learn: `python benchmarks/limit.py`.

The limit is MuJoCo's own rollout in C on two threads, open loop, with random controls. Ours trains 16 policies with the
preset `fast` in two processes. Both take turns on the same cores. Apart from that: what the rewards of a rollout cost.
"""

from __future__ import annotations

import numpy as np
import torch
from figures import Figures, median_ms, options
from rewards import RUNNER, WALKER, graphs
from teams import Team, Work, in_turns, median_rate, median_ratio
from throughput import PART_S, our_team

from rewardsmith.envs import resolve_env
from rewardsmith.reward.graph import parse_graph
from rewardsmith.reward.program import RewardProgram
from rewardsmith.train import PpoConfig
from rewardsmith.train.malloc import keep_freed_memory
from rewardsmith.train.recorder import FieldRecorder
from rewardsmith.train.rewards import blocks_of, rollout_rewards
from rewardsmith.types import Member

STATES, STEPS = 32, 200  # simulations of one call, and env steps of each
TARGETS = {"half_cheetah": (RUNNER, 0.75), "hopper": (RUNNER, 0.80), "ant": (WALKER, 0.80)}


def prepare_raw(*, pack: str) -> Work:
    """Random controls from random starts, two native threads in this process."""
    import time

    import numpy as np
    from mujoco import rollout

    from rewardsmith.envs import resolve_env
    from rewardsmith.envs.physics import load_mujoco

    mujoco = load_mujoco()
    world = resolve_env(pack).make_world(STATES)
    world.reset(np.arange(STATES), np.arange(STATES, dtype=np.uint64))
    model, skip = world._backend.model, world._frame_skip  # type: ignore[attr-defined]
    low, high = np.array(world.action.low), np.array(world.action.high)
    rng, data = np.random.default_rng(0), mujoco.MjData(model)
    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    starts = np.zeros((STATES, size))
    for i in range(STATES):
        data.qpos[:] = world.get_state(np.array([i]))["physics"][0][1 : 1 + model.nq]
        mujoco.mj_getState(model, data, starts[i], mujoco.mjtState.mjSTATE_FULLPHYSICS)
    control = np.repeat(rng.uniform(low, high, (STATES, STEPS, model.nu)), skip, 1)
    states = np.zeros((STATES, STEPS * skip, size))
    sensors = np.zeros((STATES, STEPS * skip, model.nsensordata))
    scratch = [mujoco.MjData(model) for _ in range(2)]
    pool = rollout.Rollout(nthread=2)

    def work() -> int:
        steps, end = 0, time.perf_counter() + PART_S
        while time.perf_counter() < end:
            pool.rollout(model, scratch, starts, control, nstep=STEPS * skip, state=states, sensordata=sensors)
            steps += STATES * STEPS
        return steps

    return work


def reward_cost_us(pack: str, repeats: int) -> float:
    """Microseconds an env step of one rollout's rewards, as the trainer computes them: 8 rewards x 2 seeds."""
    keep_freed_memory()
    torch.set_num_threads(1)
    environment = resolve_env(pack)
    config = PpoConfig.for_environment(environment)
    programs = {id: RewardProgram(parse_graph(g, environment.interface)) for id, g in graphs(pack, RUNNER).items()}
    members = [Member(id, seed) for id in programs for seed in (0, 1)]
    rows, steps = len(members) * config.num_envs, config.rollout_steps
    world, recorder = environment.make_world(rows), FieldRecorder(steps, rows)
    world.reset(np.arange(rows), np.arange(rows, dtype=np.uint64))
    action = 2 * torch.rand(steps, rows, *environment.interface.action.shape) - 1
    for t in range(steps):
        recorder.record(t, world.fields())
        world.step(action[t])
    recorder.record(steps, world.fields())
    transitions, blocks = recorder.transitions(world), blocks_of(members, programs)
    terminated = torch.zeros(steps, rows, dtype=torch.bool)
    with torch.inference_mode():
        pay = lambda: rollout_rewards(
            blocks, transitions, action, terminated, num_envs=config.num_envs, gamma=config.gamma
        )
        assert not pay().errors
        return 1e3 * median_ms(pay, repeats) / action[..., 0].numel()


def main() -> None:
    args = options(__doc__ or "")
    figures = Figures()
    cost = reward_cost_us("half_cheetah", 20 if args.quick else 200)
    figures.add("limit.reward_us", cost, "us", "an env step: 8 rewards of 6 components x 2 seeds, target 0.1")
    for pack, (reward, target) in TARGETS.items():
        ours, raw = our_team(pack, reward, {"preset": "fast"}), Team(prepare_raw, [{"pack": pack}])
        turns = in_turns({"ours": ours, "raw": raw}, 2 if args.quick else 7)
        ours.close()
        raw.close()
        share = 100 * median_ratio(turns["ours"], turns["raw"])
        figures.add(f"limit.{pack}.share", share, "%", f"of raw two-thread physics, target {100 * target:g} %")
        for who in ("ours", "raw"):
            figures.add(f"limit.{pack}.{who}", median_rate(turns[who]), "/s", "env steps a second")
    figures.write(args.json)


if __name__ == "__main__":
    main()
