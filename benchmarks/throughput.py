"""Training speed against Stable-Baselines3, in turns on the same cores: `python benchmarks/throughput.py`.

Two single-threaded processes of ours train 16 policies with 8 different rewards; the peer is two single-threaded SB3
jobs at once with the same hyperparameters, one policy each. A rate is env steps a second, summed over all policies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from figures import Figures, options
from rewards import BALANCER, RUNNER, graphs
from teams import Team, Work, in_turns, median_cpu_us, median_rate, median_ratio

MEMBERS = 16
PART_S = 4.0  # wall seconds a turn takes at least


class Setting(NamedTuple):
    name: str
    pack: str
    gymnasium: str
    reward: str
    sb3: dict[str, Any]
    ours: dict[str, Any]
    target: float


TUNED = {"n_steps": 128, "batch_size": 256, "n_epochs": 10}
OURS_TUNED = {"num_envs": 16, "rollout_steps": 128, "minibatch_size": 256, "epochs": 10}
ZOO = {
    "n_steps": 32, "batch_size": 256, "n_epochs": 20, "learning_rate": 1e-3, "clip_range": 0.2,
    "gamma": 0.98, "gae_lambda": 0.8,
}  # fmt: skip
OURS_ZOO = {
    "num_envs": 8, "rollout_steps": 32, "minibatch_size": 256, "epochs": 20, "learning_rate": 1e-3, "clip": 0.2,
    "gamma": 0.98, "gae_lambda": 0.8, "normalize_obs": True,
}  # fmt: skip
SETTINGS = (
    Setting("half_cheetah_sb3", "half_cheetah", "HalfCheetah-v5", RUNNER, {"n_envs": 1}, {"preset": "sb3"}, 11.0),
    Setting("half_cheetah_tuned", "half_cheetah", "HalfCheetah-v5", RUNNER, {"n_envs": 16, **TUNED}, OURS_TUNED, 3.4),
    Setting("hopper_tuned", "hopper", "Hopper-v5", RUNNER, {"n_envs": 16, **TUNED}, OURS_TUNED, 2.9),
    Setting("cartpole_zoo", "cartpole", "CartPole-v1", BALANCER, {"n_envs": 8, **ZOO}, OURS_ZOO, 6.0),
)


def prepare_sb3(*, gymnasium: str, seed: int, arguments: dict[str, Any]) -> Work:
    """One SB3 PPO job with normalized observations and rewards."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    arguments = dict(arguments)
    envs = arguments.pop("n_envs")
    world = VecNormalize(make_vec_env(gymnasium, envs, seed=seed), gamma=arguments.get("gamma", 0.99))
    model = PPO("MlpPolicy", world, seed=seed, device="cpu", verbose=0, **arguments)
    iteration = envs * model.n_steps

    def work() -> int:
        return _for_a_while(lambda: _learn(iteration))

    def _learn(steps: int) -> int:
        before = model.num_timesteps
        model.learn(steps, reset_num_timesteps=False)
        return model.num_timesteps - before

    return work


def prepare_ours(*, pack: str, members: list[tuple[str, int]], graphs: dict[str, str], ppo: dict[str, Any]) -> Work:
    """A shard of our population."""
    from rewardsmith.envs import resolve_env
    from rewardsmith.reward.graph import parse_graph
    from rewardsmith.reward.program import RewardProgram
    from rewardsmith.train import PpoConfig
    from rewardsmith.train.malloc import keep_freed_memory
    from rewardsmith.train.ppo import PopulationPPO
    from rewardsmith.types import Member

    keep_freed_memory()
    environment = resolve_env(pack)
    config = PpoConfig.for_environment(environment, **ppo)
    programs = {c: RewardProgram(parse_graph(graph, environment.interface)) for c, graph in graphs.items()}
    world = environment.make_world(len(members) * config.num_envs)
    population = PopulationPPO(world, config, [Member(c, s) for c, s in members], programs, root=0)
    population.restart_episodes()

    def iterate() -> int:
        population.iterate()
        assert not population.failures, population.failures
        return len(members) * config.batch

    return lambda: _for_a_while(iterate)


def _for_a_while(part: Any) -> int:
    import time

    steps, end = 0, time.perf_counter() + PART_S
    while time.perf_counter() < end:
        steps += part()
    return steps


def our_team(pack: str, reward: str, ppo: dict[str, Any]) -> Team:
    """16 members with 8 rewards in two processes; a candidate's members stay together."""
    programs = graphs(pack, reward)
    members = [(c, s) for c in programs for s in range(MEMBERS // len(programs))]
    halves = members[: MEMBERS // 2], members[MEMBERS // 2 :]
    settings = [
        {"pack": pack, "members": half, "graphs": {c: programs[c] for c, _ in half}, "ppo": ppo} for half in halves
    ]
    return Team(prepare_ours, settings)


def main() -> None:
    args = options(__doc__ or "")
    figures = Figures()
    for setting in SETTINGS:
        ours = our_team(setting.pack, setting.reward, setting.ours)
        jobs = [{"gymnasium": setting.gymnasium, "seed": seed, "arguments": setting.sb3} for seed in (0, 1)]
        theirs = Team(prepare_sb3, jobs)
        turns = in_turns({"ours": ours, "sb3": theirs}, 2 if args.quick else 7)
        ours.close()
        theirs.close()
        name = f"throughput.{setting.name}"
        ratio = median_ratio(turns["ours"], turns["sb3"])
        figures.add(f"{name}.ratio", ratio, "x", f"ours over SB3, target {setting.target:g}x")
        for who in ("ours", "sb3"):
            figures.add(f"{name}.{who}", median_rate(turns[who]), "/s", "env steps a second")
            figures.add(f"{name}.{who}_cpu_us", median_cpu_us(turns[who]), "us", "processor time an env step")
    figures.write(args.json)


if __name__ == "__main__":
    main()
