"""Everything a run works with, built once from its config: environment, goal, model, critic, trainer."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from rewardsmith.analyze.race import why
from rewardsmith.bank import Bank, concatenate, record_bank, record_simple
from rewardsmith.bank.simple import EPISODES as SIMPLE_EPISODES
from rewardsmith.bank.simple import simple_policies
from rewardsmith.budget import Budget
from rewardsmith.config import JUDGED, DesignConfig, ModelConfig
from rewardsmith.critic.critic import Critic
from rewardsmith.design.builtin import BuiltinDesigner, screen_terms
from rewardsmith.design.designer import Designer, EnvironmentCard, ModelDesigner
from rewardsmith.design.review import Reviewer
from rewardsmith.engine import LocalEngine, watching
from rewardsmith.envs import Environment
from rewardsmith.errors import BudgetSpent, RewardsmithError
from rewardsmith.export import export_reward
from rewardsmith.jail import Jail
from rewardsmith.llm import ChatModel, RecordingModel, open_model
from rewardsmith.loop.building import MORE_TIME, build
from rewardsmith.loop.carried import Carried, carried_by, told_wishes
from rewardsmith.loop.events import CandidateChanged, Observer, PointMeasured, Said
from rewardsmith.loop.goal import as_told, settle_task
from rewardsmith.loop.methods import load_method, templates_of
from rewardsmith.loop.model import JournaledModel
from rewardsmith.loop.summary import located_goal, spent
from rewardsmith.reward.compile import prepare, reward_jail
from rewardsmith.reward.graph import parse_graph
from rewardsmith.reward.program import RewardProgram
from rewardsmith.store import Journal, RunFolder
from rewardsmith.train import (
    PpoConfig,
    RacingConfig,
    Rung,
    load_metric,
    member_folder,
    train_population,
)
from rewardsmith.train.goals import knows_success
from rewardsmith.train.sb3 import Sb3Config, train_with_sb3
from rewardsmith.types import CandidateState, Member, Task, TrainingResult

SOURCE_ELSEWHERE = "# The source is in the candidate's own folder: no process that trains has it on its path.\n"
BANK_TRANSITIONS = 20_000
GOAL_STATES = 256


class Parts:
    """The parts of one run. `task` is set once the goal is settled; nothing that needs it is built before."""

    def __init__(self, folder: RunFolder, config: DesignConfig, observe: Observer) -> None:
        self.folder, self.config, self.observe = folder, config, observe
        self.journal: Journal = folder.journal()
        self.budget = Budget(config.budget)
        # only env steps are taken over here: model calls are counted again as their records are read
        self.budget.spend(env_steps=spent(self.journal, config).env_steps)
        self.task: Task
        # by this run's policies; the critic's alone, so that designers depend on no session
        self._played: list[Bank] = []

    # --- the environment and what was recorded in it ---------------------------------------------------------------

    @cached_property
    def environment(self) -> Environment:
        env = self.config.env
        return build(env.name, env.kwargs, stall_s=self.config.stall_s, hint=self._hint)

    def watching(self, doing: str) -> AbstractContextManager[None]:
        """Watch over the environment's code in this process while `doing` something in it: see `engine.watching`."""
        return watching(f"{doing} {self.config.env.name}", stall_s=self.config.stall_s, hint=self._hint)

    @property
    def _hint(self) -> str:
        """What to do when the environment hangs."""
        return f"{MORE_TIME}, and go on: rewardsmith resume {self.folder.root}"

    @cached_property
    def bank(self) -> Bank:
        """Recorded random episodes. Making it is the preflight: a broken environment shows before any model call."""
        path = self.folder.root / "bank.npz"
        if self.journal.get("cost/bank") is None or not path.exists():
            self.budget.require(env_steps=BANK_TRANSITIONS)
            task = settle_task(self.config, self.environment)
            metric = load_metric(self.environment, task.goal) if task else self.environment.native_metric()
            with self.watching("recording random episodes of"):
                bank = record_bank(self.environment, transitions=BANK_TRANSITIONS, seed=self.config.seed, metric=metric)
            bank.save(path)
            self.pay("bank", bank.env_steps)
        return self._as_told(Bank.load(path, self.environment.interface))

    @cached_property
    def simple(self) -> dict[str, Bank]:
        """Episodes of policies that need no learning; so few that every session records them again, booked once."""
        if self.journal.get("cost/simple") is None:
            self.budget.require(env_steps=simple_steps(self.environment))
        metric = load_metric(self.environment, located_goal(self.task.goal, self.folder.root))
        with self.watching("recording episodes of simple policies in"):
            banks = record_simple(self.environment, seed=self.config.seed, metric=metric)
        self.pay("simple", sum(bank.env_steps for bank in banks.values()))
        return {name: self._as_told(bank) for name, bank in banks.items()}

    def _as_told(self, bank: Bank) -> Bank:
        """Recorded episodes as critic and designers may know them: where raters judge, without the metric's scores."""
        if not self.blind:
            return bank
        return replace(
            bank, fitness=torch.full_like(bank.fitness, torch.nan), success=torch.full_like(bank.success, torch.nan)
        )

    def show_critic(self, key: str, played: Callable[[], Bank | None]) -> None:
        """Let the critic see these episodes, too, from now on. `key` names their file, which a later session reads."""
        path = self.folder.root / f"bank.{key}.npz"
        if not path.exists() and (bank := played()) is not None:
            bank.save(path)
        if path.exists():
            self._played.append(self._as_told(Bank.load(path, self.environment.interface)))
            self.__dict__.pop("critic", None)  # the next one looks at these episodes too

    def policy_path(self, member: Member) -> Path:
        return member_folder(self.folder.root, member) / "policy.safetensors"

    def pay(self, what: str, env_steps: int) -> None:
        """Book environment steps once, under a key of their own."""
        if self.journal.get(f"cost/{what}") is None:
            self.journal.put(f"cost/{what}", {"env_steps": env_steps})
            self.budget.spend(env_steps=env_steps)

    # --- who writes rewards ----------------------------------------------------------------------------------------

    @cached_property
    def model(self) -> ChatModel:
        c = self.config.model
        inner = open_configured(c, self.folder.root / "desk")
        recording = RecordingModel(inner, self.folder.root / "cassette.jsonl")
        return JournaledModel(recording, self.journal, self.budget, c)

    @cached_property
    def designer(self) -> Designer:
        if self.config.model.llm == "builtin":
            evidence = screen_terms(self.environment.interface, self.bank, self.bank.fitness)
            return BuiltinDesigner(seed=self.config.seed, evidence=evidence, repairs=self.config.repairs)
        return ModelDesigner(
            self.model,
            method=templates_of(load_method(self.config.method)),
            repairs=self.config.repairs + self.config.review_rounds,
            sign_only=self.config.sign_only,
        )

    @cached_property
    def reviewer(self) -> Reviewer:
        """Another name at the same endpoint, or the designer's own model."""
        name = self.config.review_llm
        if name is None:
            return Reviewer(self.model)
        config = self.config.model.model_copy(update={"llm": name})
        inner = RecordingModel(
            open_configured(config, self.folder.root / "desk"), self.folder.root / "cassette.reviews.jsonl"
        )
        return Reviewer(JournaledModel(inner, self.journal, self.budget, config))

    @cached_property
    def card(self) -> EnvironmentCard:
        return card_of(self.environment)

    # --- checking --------------------------------------------------------------------------------------------------

    @cached_property
    def jail(self) -> Jail:
        jail = reward_jail(allow_unsandboxed=self.config.allow_unsandboxed)
        prepare(jail)
        return jail

    @cached_property
    def critic(self) -> Critic:
        goal_states = None
        if self.is_default_task and not self.blind:
            with self.watching("making goal states of"):
                goal_states = self.environment.goal_states(GOAL_STATES, np.random.default_rng(self.config.seed))
        return Critic(
            self.environment.interface,
            self.jail,
            bank=self.known_episodes,
            goal_states=goal_states,
            simple=self.simple,
            words=self.task.words,
            goal_ends=None if self.blind else self.goal_ends,
            horizon=self.environment.horizon,
            sign_only=self.config.sign_only,
        )

    @property
    def known_episodes(self) -> Bank:
        """Random ones, and those of this run's policies."""
        return concatenate([self.bank, *self._played])

    @property
    def goal_ends(self) -> bool | None:
        """Whether reaching the goal ends the episode; None: not known."""
        goal = self.task.goal
        return self.environment.goal_ends(goal.task if goal.kind == "pack" else None)

    @property
    def blind(self) -> bool:
        """Whether raters say which reward is best, so that nothing measured may reach a designer or drop a reward."""
        return self.config.feedback in JUDGED

    @property
    def told_task(self) -> Task:
        """The task as designers know it."""
        return as_told(self.task, self.config)

    @property
    def is_default_task(self) -> bool:
        """Whether the goal is the pack's first task, which its goal states and reference rewards belong to."""
        goal = self.task.goal
        return goal.kind == "pack" and goal.task == self.environment.default_task

    @cached_property
    def carried(self) -> Carried | None:
        """What a refined run took over; None for any other."""
        return carried_by(self.journal, self.config)

    @property
    def wishes(self) -> tuple[str, ...]:
        """What the person asked for since, with what counts as met where that is checked."""
        return told_wishes(self.config.wishes, self.task.goal.checks)

    def load_program(self, id: str) -> RewardProgram:
        return RewardProgram(parse_graph(self.folder.candidate(id).read_graph(), self.environment.interface))

    def graph_path(self, id: str) -> Path:
        return self.folder.candidate(id).graph_path

    @property
    def has_success(self) -> bool:
        """Whether the goal knows success, or has checks that decide; else its 0 says nothing."""
        return bool(self.task.goal.checks) or knows_success(self.environment, self.task.goal)

    # --- training --------------------------------------------------------------------------------------------------

    @cached_property
    def ppo(self) -> PpoConfig:
        return PpoConfig.for_environment(self.environment, **self.config.training)

    @cached_property
    def sb3(self) -> Sb3Config:
        return Sb3Config.for_environment(self.environment, self.config.algo, **self.config.training)

    @cached_property
    def engine(self) -> LocalEngine:
        return LocalEngine(workers=self.config.workers, stall_s=self.config.stall_s)

    def train(
        self,
        key: str,
        programs: Mapping[str, Path],
        *,
        seeds: Sequence[int],
        racing: bool | None = None,
        spared: Collection[str] = (),
    ) -> dict[str, TrainingResult]:
        """Train candidates x seeds as one population, once: `key` names the record. Racing drops none of `spared`."""

        def make() -> dict:
            if not programs:
                return {}
            if self.config.trainer == "sb3":
                results = self._train_with_sb3(key, programs, seeds)
                return {id: r.model_dump(mode="json") for id, r in results.items()}
            self.budget.require(env_steps=self.ppo.env_steps * len(programs) * len(seeds))
            results = train_population(
                self.config.env,
                located_goal(self.task.goal, self.folder.root),
                programs,
                seeds=list(seeds),
                ppo=self.ppo,
                seed_root=self.config.seed,
                engine=self.engine,
                out=self.folder.root,
                name=key,
                racing=RacingConfig(
                    enabled=self.config.racing and not self.blind if racing is None else racing,
                    finalist_seeds=self.config.finalist_seeds,
                ),
                spared=spared,
                on_point=lambda member, point: self.observe(PointMeasured(*member, point)),
                on_rung=self._tell_rung,
                affords=self.affords,
            )
            return {id: r.model_dump(mode="json") for id, r in results.items()}

        results = {id: TrainingResult.model_validate(r) for id, r in self.journal.once(f"{key}/training", make).items()}
        self.pay(key, sum(m.env_steps + m.eval_env_steps for r in results.values() for m in r.members))
        return results

    def _train_with_sb3(
        self, key: str, programs: Mapping[str, Path], seeds: Sequence[int]
    ) -> dict[str, TrainingResult]:
        self.budget.require(env_steps=self.sb3.env_steps * len(programs) * len(seeds))
        exported = {id: self.folder.root / "jobs" / key / f"{id}-exported" for id in programs}
        for id, folder in exported.items():
            if not folder.exists():
                graph = programs[id].read_text(encoding="utf-8")
                export_reward(graph, SOURCE_ELSEWHERE, self.environment.interface, self.environment, None, folder)
        return train_with_sb3(
            self.config.env,
            located_goal(self.task.goal, self.folder.root),
            programs,
            exported,
            seeds=seeds,
            config=self.sb3,
            engine=self.engine,
            out=self.folder.root,
            name=key,
            seed_root=self.config.seed,
            on_point=lambda member, point: self.observe(PointMeasured(*member, point)),
        )

    def affords(self, env_steps: int) -> bool:
        """Whether the budget allows for so many env steps more."""
        try:
            self.budget.require(env_steps=env_steps)
        except BudgetSpent:
            return False
        return True

    def _tell_rung(self, rung: Rung) -> None:
        for id, standing in rung.standings.items():
            if not standing.kept:
                self.observe(CandidateChanged(id, CandidateState.DROPPED, why(standing)))
        if rung.more_seeds:
            finalists = ", ".join(id for id, s in rung.standings.items() if s.kept)
            count = len(rung.more_seeds)
            seeds = f"{count} more seed{'s' if count > 1 else ''}"
            steps = f"{count * self.ppo.iterations * self.ppo.batch:,} env steps a candidate"
            self.say(f"{finalists} train {seeds} each ({steps}), from what the dropped ones left")

    def say(self, text: str) -> None:
        self.observe(Said(text))

    def release(self) -> None:
        """Let go of every process, for a while in which nothing is to do. What is needed later starts anew."""
        self.__dict__.pop("critic", None)
        if (jail := self.__dict__.pop("jail", None)) is not None:
            jail.close()

    def close(self) -> None:
        self.release()
        self.journal.put(f"session/{time.time_ns()}", {"wall_s": self.budget.wall_s})
        self.journal.close()


def open_configured(config: ModelConfig, desk_folder: Path) -> ChatModel:
    """The model a config names. Raises: UsageError: it is misnamed, or lacks a key or a file."""
    return open_model(
        config.llm,
        base_url=config.base_url,
        timeout_s=config.timeout_s,
        concurrency=config.concurrency,
        strict=config.strict_replay,
        desk_folder=desk_folder,
    )


def simple_steps(environment: Environment) -> int:
    """Env steps that the episodes of the simple policies take at most."""
    return SIMPLE_EPISODES * sum(1 for _ in simple_policies(environment.interface.action)) * environment.horizon


def card_of(environment: Environment) -> EnvironmentCard:
    """What a designer may know of an environment."""
    return EnvironmentCard(
        name=environment.name,
        about=environment.about,
        interface=environment.interface,
        horizon=environment.horizon,
        dt=environment.dt,
    )


def attempt(what: str, action: Callable[[], object], say: Callable[[str], None]) -> None:
    """Run an extra of the run (a video, an event file): its failure is told, never fatal."""
    try:
        action()
    except (RewardsmithError, OSError) as error:
        say(f"{what} left out: {error}")
