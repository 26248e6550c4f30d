"""How much of the raw physics rate is left when policies learn: `python benchmarks/limit.py`.

The limit is MuJoCo's own rollout in C on two threads, open loop, with random controls. Ours trains 16 policies with the
preset `fast` in two processes. Both take turns on the same cores.
"""

from __future__ import annotations

from figures import Figures, options
from rewards import RUNNER, WALKER
from teams import Team, Work, in_turns, median_rate, median_ratio
from throughput import PART_S, our_team

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


def main() -> None:
    args = options(__doc__ or "")
    figures = Figures()
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
