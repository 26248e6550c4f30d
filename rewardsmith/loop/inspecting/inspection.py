"""`inspect_reward`: from the name of a reward to a page about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from rewardsmith.bank import Bank, record_bank, record_simple
from rewardsmith.critic.critic import Critic
from rewardsmith.critic.evidence import EvaluationFailed, evaluate_episodes
from rewardsmith.critic.sample import from_bank
from rewardsmith.engine import watching
from rewardsmith.envs import Environment
from rewardsmith.errors import NothingAcceptable, UsageError
from rewardsmith.jail import Jail
from rewardsmith.loop.building import build
from rewardsmith.loop.checking import GOAL_STATES, TRANSITIONS
from rewardsmith.loop.inspecting.changes import Changes, changes_between
from rewardsmith.loop.inspecting.episodes import (
    SECONDS,
    SHAPING,
    TOTAL,
    Episode,
    Transitions,
    pay_clip,
    play,
    transitions_of,
)
from rewardsmith.loop.inspecting.measures import Paid, Share, correlation, shares, unexplained
from rewardsmith.loop.inspecting.page import Content, Other, page_of
from rewardsmith.loop.inspecting.slices import POTENTIAL, Seen, require_two, slices
from rewardsmith.loop.inspecting.subject import Subject, find_subject, require_code
from rewardsmith.loop.trust import require_trust
from rewardsmith.reward.compile import compile_reward, prepare, reward_jail
from rewardsmith.reward.program import RewardProgram
from rewardsmith.store import write_text
from rewardsmith.types import Finding, Record


class EpisodeSums(Record):
    """One episode, and what it was paid in all. `agreement` is the correlation of the two rewards' steps."""

    title: str
    seed: int
    steps: int
    ended: str
    sums: dict[str, float | None]  # the total, each component, potential shaping; None where it is not finite
    other_total: float | None = None  # by the reward it is compared with
    agreement: float | None = None


class Inspection(Record):
    """What `inspect_reward` found; the page at `path` shows more of it."""

    path: Path
    env: str
    reward: str
    accepted: bool  # by the critic's checks
    parameters: dict[str, float]
    uses_memory: bool
    episodes: tuple[EpisodeSums, ...]
    components: tuple[Share, ...]
    unexplained: float  # how far the components are from adding up to the total, as a share of the largest total
    findings: tuple[Finding, ...]
    features: tuple[str, ...]  # that the heat map can show
    shown: tuple[str, ...]  # by it first
    against: Changes | None
    notes: tuple[str, ...]


def inspect_reward(
    reward: str | Path,
    env: str | None = None,
    *,
    out: str | Path = "inspect.html",
    against: str | Path | None = None,
    policy: str | Path | None = None,
    features: Sequence[str] = (),
    seconds: float = SECONDS,
    films: bool = True,
    env_kwargs: Mapping[str, object] | None = None,
    runs: str | Path = "runs",
    trust: bool = False,
    allow_unsandboxed: bool = False,
) -> Inspection:
    """Put a reward under the microscope, and write one offline HTML page.

    Args:
        reward: a reward file, "RUN" or "RUN:CANDIDATE" (a run's best by default), or "human" or "sparse".
        env: the environment; may be left out for a reward of a run.
        against: another reward, named likewise: what changed from it to `reward`.
        policy: the policy file whose episodes are shown; else the one trained on the candidate, else the random one
            and those that need no learning.
        features: the two features that the heat map shows first.
        seconds: of each episode at most, where steps have a length in time.
        films: draw the episodes; without, only their numbers are shown.
        trust: build the environment that a run names even if somebody else made the run.

    Raises:
        UsageError, RunError: there is no such reward, run, candidate or feature, or a run needs `trust`.
        NothingAcceptable: a reward does not pass the gate or the tracer, or fails on an episode.
        EnvironmentFault: the environment is at fault.
    """
    subject = find_subject(reward, runs=runs)
    other = find_subject(against, runs=runs) if against is not None else None
    if other is not None and other.label == subject.label:
        subject, other = subject._replace(label=str(reward)), other._replace(label=str(against))
        if other.label == subject.label:
            raise UsageError("a reward cannot be compared with itself", hint="name another one with --against")
    environment = _environment(env, env_kwargs, [s for s in (subject, other) if s is not None], trust=trust)
    require_two(features, environment.interface)
    gamma, references = environment.training.gamma, environment.reference_rewards
    code = require_code(subject, references, environment.name)
    with reward_jail(allow_unsandboxed=allow_unsandboxed) as jail:
        prepare(jail)
        old = None
        if other is not None:
            old = _compiled(require_code(other, references, environment.name), environment, jail, other.label)
        with watching(f"recording episodes of {environment.name}"):
            bank = record_bank(environment, transitions=TRANSITIONS, seed=0)
            report = _critic(environment, jail, bank, subject).check(code, candidate_id="reward")
    program = report.program
    if program is None:
        raise _refused(subject.label, report.verdict.findings)
    with watching(f"playing and filming {environment.name}"):
        played = list(play(environment, Path(policy) if policy else subject.policy, seconds=seconds, films=films))
    paid = [pay_clip(program, episode.clip, gamma=gamma) for episode in played]
    seen = [_episodes_seen(program, played, paid), *_bank_seen(program, bank, "random episodes")]
    drawn = slices(program, environment.interface, seen, shown=features)
    compared = None
    if old is not None and other is not None:
        compared = Other(
            label=other.label,
            code=require_code(other, references, environment.name),
            paid=[pay_clip(old, episode.clip, gamma=gamma) for episode in played],
            changes=changes_between(environment, (other.label, old), (subject.label, program), gamma=gamma),
        )
    notes = _notes(subject, policy, environment, played, seconds)
    inspection = Inspection(
        path=Path(out),
        env=environment.name,
        reward=subject.label,
        accepted=report.verdict.accepted,
        parameters=program.parameters,
        uses_memory=program.uses_memory,
        episodes=tuple(_sums(played, paid, compared.paid if compared else None)),
        components=tuple(shares(paid)),
        unexplained=unexplained(paid),
        findings=report.verdict.findings,
        features=tuple(axis.label for axis in drawn.axes) if drawn else (),
        shown=tuple(drawn.axes[i].label for i in drawn.first) if drawn else (),
        against=compared.changes if compared else None,
        notes=tuple(notes),
    )
    content = Content(
        label=subject.label,
        env=environment.name,
        about=environment.about,
        code=code,
        program=program,
        episodes=played,
        paid=paid,
        components=inspection.components,
        unexplained=inspection.unexplained,
        slices=drawn,
        findings=inspection.findings,
        other=compared,
        sums=inspection.episodes,
        notes=inspection.notes,
        gamma=gamma,
    )
    write_text(Path(out), page_of(content))
    return inspection


def _environment(
    env: str | None, kwargs: Mapping[str, object] | None, subjects: Sequence[Subject], *, trust: bool
) -> Environment:
    """The environment of the runs among the subjects, or else the one that is named."""
    runs = [subject.run for subject in subjects if subject.run is not None]
    for run in runs:
        if run.config.env.name != (env or runs[0].config.env.name):
            raise UsageError(
                f"the run {run.id} is of {run.config.env.name}, not of {env or runs[0].config.env.name}",
                hint="give rewards of one environment, or --env left away for a reward of a run",
            )
    if not runs:
        if env is None:
            raise UsageError(
                "which environment the reward is for is not said",
                hint="add --env NAME (`rewardsmith envs` lists them), or name a run instead of a file",
            )
        return build(env, kwargs)
    require_trust(runs[0], "inspect", trust=trust)
    return build(runs[0].config.env.name, {**runs[0].config.env.kwargs, **(kwargs or {})})


def _critic(environment: Environment, jail: Jail, bank: Bank, subject: Subject) -> Critic:
    """As `check` has it; of a run with another goal than the pack's, that goal's states say nothing."""
    task = subject.run.task if subject.run else None
    own = task is not None and (task.goal.kind != "pack" or task.goal.task not in ("", environment.default_task))
    return Critic(
        environment.interface,
        jail,
        bank=bank,
        goal_states=None if own else environment.goal_states(GOAL_STATES, np.random.default_rng(0)),
        simple=record_simple(environment, seed=0),
        words=task.words if task else "",
        goal_ends=environment.goal_ends(None if own else environment.default_task),
        horizon=environment.horizon,
    )


def _compiled(code: str, environment: Environment, jail: Jail, label: str) -> RewardProgram:
    compiled = compile_reward(code, environment.interface, jail)
    if compiled.program is None:
        raise _refused(label, compiled.findings)
    return compiled.program


def _refused(label: str, findings: Sequence[Finding]) -> NothingAcceptable:
    found = next(finding for finding in findings if finding.severity == "refuse")
    where = f" (line {found.line})" if found.line else ""
    return NothingAcceptable(f"{label} is refused: {found.id}{where}: {found.message}", hint=found.hint)


def _episodes_seen(program: RewardProgram, played: Sequence[Episode], paid: Sequence[Paid]) -> Seen:
    rows = [transitions_of(episode.clip) for episode in played]
    joined = Transitions(
        {name: torch.cat([part.obs[name] for part in rows]) for name in rows[0].obs},
        torch.cat([part.action for part in rows]),
        {name: torch.cat([part.next_obs[name] for part in rows]) for name in rows[0].next_obs},
    )
    values = {name: np.concatenate([episode[name] for episode in paid]) for name in paid[0]}
    return Seen("the episodes above", joined, values | _potential(program, joined))


def _bank_seen(program: RewardProgram, bank: Bank, title: str) -> list[Seen]:
    sample = from_bank(bank)
    rows = Transitions(sample.obs, sample.action, sample.next_obs)
    try:
        values = evaluate_episodes(program, sample)
    except EvaluationFailed:  # the critic has said so already
        return [Seen(title, rows, {})]
    paid = {TOTAL: values.total, **values.components}
    return [Seen(title, rows, {name: v.numpy(force=True) for name, v in paid.items()} | _potential(program, rows))]


def _potential(program: RewardProgram, rows: Transitions) -> dict[str, np.ndarray]:
    if not program.has_potential:
        return {}
    states = {name: value for name, value in rows.next_obs.items() if name != "terminated"}
    return {POTENTIAL: program.potential(states).numpy(force=True)}


def _sums(played: Sequence[Episode], paid: Sequence[Paid], other: Sequence[Paid] | None) -> list[EpisodeSums]:
    return [
        EpisodeSums(
            title=episode.title,
            seed=episode.clip.seed,
            steps=episode.clip.steps,
            ended=episode.clip.ended,
            sums={name: _sum(value) for name, value in paid[n].items()},
            other_total=_sum(other[n][TOTAL]) if other else None,
            agreement=correlation(whole(paid[n]), whole(other[n])) if other else None,
        )
        for n, episode in enumerate(played)
    ]


def whole(paid: Paid) -> np.ndarray:
    """What a trainer adds up in each step: the total and potential shaping."""
    return paid[TOTAL] + paid.get(SHAPING, np.zeros_like(paid[TOTAL]))


def _sum(values: np.ndarray) -> float | None:
    total = float(values.astype(np.float64).sum())
    return total if np.isfinite(total) else None


def _notes(
    subject: Subject, policy: str | Path | None, environment: Environment, played: Sequence[Episode], seconds: float
) -> list[str]:
    """Whose episodes these are, and what is not shown."""
    if policy is not None:
        whose = f"The episodes are of the policy in {Path(policy).name}."
    elif subject.policy is not None:
        whose = f"The episodes are of the best policy that was trained on {subject.label}."
    else:
        why = "no policy was trained on this candidate" if subject.run else "a file has no policy of its own"
        whose = f"The episodes are of random actions and of policies that need no learning: {why}; --policy names one."
    notes = [whose]
    if any(episode.clip.ended == "goes on" for episode in played):
        notes.append(f"Of episodes that last longer, the first {seconds:g} s are shown.")
    notes += list(dict.fromkeys(f"There are no films: {episode.why}" for episode in played if episode.why))
    return notes
