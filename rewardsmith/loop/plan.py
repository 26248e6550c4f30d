"""What a run would ask and cost, before it does (`--dry-run` of `design`, `refine` and `batch`)."""

from __future__ import annotations

import os
import time

import numpy as np
import torch

from rewardsmith.config import DesignConfig
from rewardsmith.design.designer import Assignment, DesignContext, EnvironmentCard, ModelDesigner, Parent
from rewardsmith.design.goal import goal_messages
from rewardsmith.design.prompts import PromptLibrary
from rewardsmith.engine import alive, watching
from rewardsmith.envs import Environment
from rewardsmith.llm import ChatModel, Message, estimate_tokens
from rewardsmith.loop.ahead import steps_ahead, trained_at_most
from rewardsmith.loop.building import MORE_TIME, build
from rewardsmith.loop.carried import Carried, told_wishes
from rewardsmith.loop.goal import as_told, settle_task
from rewardsmith.loop.methods import load_method, require_method, templates_of
from rewardsmith.loop.parts import card_of
from rewardsmith.loop.steps import FURTHER
from rewardsmith.types import Goal, Record, Task

REPLY_TOKENS = 700  # a typical reply: a short plan and a reward of 30 lines
TRAINING_SHARE = 2.0  # wall time of training, as a multiple of stepping the environment alone
SAMPLE_S = 0.5
TRIED_ENVS = 16  # side by side, as PPO's default has it


class Plan(Record):
    """`prompts` are (name, text). Tokens and minutes are estimates; steps are an upper limit (racing spends fewer)."""

    prompts: tuple[tuple[str, str], ...]
    model_calls: tuple[int, int]  # fewest, most (with every repair and review used)
    tokens: tuple[int, int]
    usd: tuple[float, float] | None  # by the person's own prices
    env_steps: int
    steps_are: str  # what the steps are spent on
    minutes: float
    workers: int


class _NoModel:
    """Stands in for a model where only prompts are wanted."""

    name = "dry run"

    def complete(self, *args: object, **kwargs: object) -> None:
        raise AssertionError("a dry run asks no model")


def plan_run(config: DesignConfig, carried: Carried | None = None) -> Plan:
    """What a run would ask and cost; with `carried` one that refines another.

    Raises: RewardsmithError: the environment, the task or the training settings are wrong.
    """
    require_method(config)
    environment = build(config.env.name, config.env.kwargs, stall_s=config.stall_s, hint=MORE_TIME)
    steps = steps_ahead(config, environment)
    task = carried.task if carried else settle_task(config, environment)
    prompts = [] if config.model.llm == "builtin" else _prompts(config, card_of(environment), task, carried)
    proposals = config.rounds * config.candidates
    goal_calls = max(0, len(prompts) - 1)  # goals and checks that the model writes, before the rewards
    reviews = config.review_rounds
    fewest = proposals * (1 + min(reviews, 1)) + goal_calls
    tries = 1 + (FURTHER if config.guarantee else 0)
    most = proposals * tries * (1 + config.repairs + 2 * reviews) + 4 * goal_calls  # a review may send the reward back
    if config.summaries:
        fewest, most = fewest + config.rounds, most + trained_at_most(config)
    calls = (fewest, most) if prompts else (0, 0)
    prompt = estimate_tokens(prompts[-1][1]) if prompts else 0
    each = prompt + REPLY_TOKENS if prompts else 0
    workers = config.workers or os.cpu_count() or 1
    with watching(f"trying the speed of {environment.name}", stall_s=config.stall_s, hint=MORE_TIME):
        speed = steps_per_second(environment, TRIED_ENVS)
    return Plan(
        prompts=tuple(prompts),
        model_calls=calls,
        tokens=(calls[0] * each, calls[1] * each),
        usd=_dollars(config.model.usd_per_million, prompt, calls),
        env_steps=steps.total,
        steps_are=steps.told,
        minutes=(TRAINING_SHARE * steps.training + steps.evaluation + steps.recording) / (speed * workers) / 60,
        workers=workers,
    )


def _prompts(
    config: DesignConfig, card: EnvironmentCard, task: Task | None, carried: Carried | None
) -> list[tuple[str, str]]:
    """Those of the goal and of checks that the model has to write, and of the first reward; each with its name."""
    library, prompts = PromptLibrary(), []
    if task is None:
        prompts.append(("goal", _text(goal_messages(library, card, config.words))))
    shown = task or Task(env=config.env, words=config.words, goal=Goal(kind="model"))
    checks = shown.goal.checks
    known = {check.wish for check in checks} | set(config.check_files)
    for wish in config.wishes if carried else ():
        if wish not in known:
            prompts.append((f"check of {wish!r}", _text(goal_messages(library, card, wish, task=shown.words))))
    wishes = told_wishes(config.wishes, checks)
    context = DesignContext(environment=card, task=as_told(shown, config), wishes=wishes, seed=config.seed)
    parents = (Parent("", config.from_reward, carried.told if carried else ""),) if config.from_reward else ()
    model: ChatModel = _NoModel()  # type: ignore[assignment]
    designer = ModelDesigner(model, method=templates_of(load_method(config.method)), sign_only=config.sign_only)
    assignment = Assignment(edit="tweak" if carried else "new", parents=parents)
    return [*prompts, ("round 1", _text(designer.messages(context, assignment)))]


def _dollars(prices: tuple[float, float] | None, prompt: int, calls: tuple[int, int]) -> tuple[float, float] | None:
    """Fewest and most; None without prices."""
    if prices is None:
        return None
    each = (prompt * prices[0] + REPLY_TOKENS * prices[1]) / 1e6
    return calls[0] * each, calls[1] * each


def steps_per_second(environment: Environment, num_envs: int) -> float:
    """How fast one core steps this environment, measured for half a second."""
    world = environment.make_world(num_envs)
    try:
        world.reset(np.arange(world.num_envs), np.arange(world.num_envs, dtype=np.uint64))
        action = torch.zeros((world.num_envs, *world.action.shape), dtype=getattr(torch, world.action.dtype))
        steps, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < SAMPLE_S:
            world.step(action)
            alive()
            steps += world.num_envs
            done = np.flatnonzero((world.terminated | world.truncated).numpy(force=True))
            if done.size:
                world.reset(done, (done + steps).astype(np.uint64))
        return steps / elapsed
    finally:
        world.close()


def _text(messages: list[Message]) -> str:
    return "\n\n".join(f"[{m.role}]\n{m.content}" for m in messages)
