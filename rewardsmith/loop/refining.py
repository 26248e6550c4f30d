"""`refine`: a run that starts from another run's best reward and a wish, and keeps what was asked for before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rewardsmith.analyze.feedback import build_feedback
from rewardsmith.analyze.preference import trace_of
from rewardsmith.config import JUDGED, DesignConfig
from rewardsmith.errors import UsageError
from rewardsmith.loop.beginning import drive_new
from rewardsmith.loop.carried import KEY, Carried
from rewardsmith.loop.driver import start
from rewardsmith.loop.events import Observer, Said, silent
from rewardsmith.loop.goal import ApproveGoal, accept_any_goal
from rewardsmith.loop.goal_writing import GOAL, check_from_file, check_name, files_of
from rewardsmith.loop.methods import settings_of
from rewardsmith.loop.plan import Plan, plan_run
from rewardsmith.loop.summary import Candidate, RunSummary, load_run
from rewardsmith.loop.trust import require_trust
from rewardsmith.store import read_text_inside
from rewardsmith.types import Criterion, Task

C = TypeVar("C", bound=Criterion)
IN_PARTS = ("model", "budget", "training")  # settings of which a part may be replaced


def refine_run(
    run: str | Path,
    wish: str,
    *,
    check: str | Path | None = None,
    runs: str | Path = "runs",
    observe: Observer = silent,
    approve_goal: ApproveGoal = accept_any_goal,
    trust: bool = False,
    **options: object,
) -> RunSummary:
    """Make small changes to a run's best reward until it meets a wish, too. That run stays as it is.

    The goal is taken over as it was frozen, and so are the checks of earlier wishes; the new wish becomes a check that
    the model writes. Success counts only in episodes that meet all of them.

    Args:
        run: the run's id, folder, or "latest".
        wish: what its policies should do otherwise, in plain words.
        check: a metric file that says which episodes meet the wish (its success); needed without a language model.
        runs: the folder in which the run is looked for, and the new one made.
        approve_goal: called once where the model writes the check; the default accepts it.
        trust: refine it even if somebody else made it; this may run Python code and use your API key.
        **options: fields of `DesignConfig` that replace those of the run, such as `seeds=3`. Of `model`, `budget` and
            `training` a mapping replaces what it names. Candidates and rounds are the method's if not given.

    Raises:
        UsageError: there is nothing to refine, the wish was made before, or nobody can say when it is met.
        RewardsmithError: any other of its kinds, each naming the guilty side.
    """
    before = load_run(run, runs=runs)
    require_trust(before, "refine", trust=trust)
    config = refined_config(before, wish, check=check, **options)
    carried = carried_from(before)
    folder = start(config, Path(runs))
    with folder.journal() as journal:
        journal.put(KEY, carried.model_dump(mode="json"))
    if not before.finished:
        observe(Said(f"{before.id} is not finished: this starts from its best reward so far"))
    return drive_new(folder, observe=observe, approve_goal=approve_goal)


def plan_refinement(
    run: str | Path,
    wish: str,
    *,
    check: str | Path | None = None,
    runs: str | Path = "runs",
    trust: bool = False,
    **options: object,
) -> Plan:
    """What `refine_run` would ask and cost with the same arguments. Raises: as `refine_run`."""
    before = load_run(run, runs=runs)
    require_trust(before, "refine", trust=trust)
    return plan_run(refined_config(before, wish, check=check, **options), carried_from(before))


def refined_config(
    before: RunSummary, wish: str, *, check: str | Path | None = None, **options: object
) -> DesignConfig:
    """The config of a run that refines `before`. Raises: as `refine_run`."""
    wish = " ".join(wish.split())
    if not wish:
        raise UsageError("there is no wish", hint='say it in words: rewardsmith refine RUN "move more slowly"')
    if wish in before.config.wishes:
        raise UsageError(f"{before.id} was asked for {wish!r} before", hint="say what is missing in other words")
    settings = _settings(before.config, options)
    check_files = dict(before.config.check_files)
    if check is not None:
        path = Path(check).resolve()
        check_from_file(path, wish)  # a mistake in it should show before anything is made
        check_files[wish] = str(path)
    elif settings["model"]["llm"] == "builtin":
        raise UsageError(
            f"`builtin` is not a language model: it cannot turn {wish!r} into a check",
            hint="name a model with --llm, or give --check FILE: a metric file whose success says when it is met",
        )
    new = {
        "from_reward": _best_of(before).proposal.code,
        "wishes": (*before.config.wishes, wish),
        "check_files": check_files,
        "refines": before.id,
        "rewards": {},
        "notes": (),
    }
    if before.config.feedback in JUDGED:  # from now on checks of wishes say what is good
        new |= {"feedback": "full", "guarantee": False, "fit_votes": False}
    return DesignConfig.model_validate(settings | new)


def _settings(config: DesignConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run with what replaces them."""
    settings = config.model_dump()
    parts = {name: settings[name] | _given(dict(options.get(name) or {})) for name in IN_PARTS}
    return settings | settings_of("refine", {**options, **parts})


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def carried_from(before: RunSummary) -> Carried:
    """The goal of a run and its checks, and what training showed about its best reward. Raises: as `refine_run`."""
    best = _best_of(before)
    if before.task is None or best.training is None:
        raise _nothing_to_refine(before)
    feedback = build_feedback(
        best=best.id,
        results={best.id: best.training},
        analyses={best.id: best.analysis} if best.analysis else {},
        verdicts={},
        detail="scalar" if before.config.feedback == "scalar" else "full",
    )
    told = trace_of(best.training) if before.config.unmeasured else feedback.text
    goal = before.task.goal
    named = {GOAL: goal, **{check_name(n): check for n, check in enumerate(goal.checks, 1)}}
    files = {file: text for name, written in named.items() for file, text in _files(before.root, name, written)}
    return Carried(task=_renamed(before.task), files=files, told=told)


def _files(root: Path, name: str, written: Criterion) -> Iterator[tuple[str, str]]:
    """The code and the graph of what a model wrote, by the names that the new run gives them."""
    if written.kind == "model":
        code, graph = files_of(name)
        yield code, written.code
        yield graph, read_text_inside(root, root.resolve() / written.path)


def _renamed(task: Task) -> Task:
    """The task with the names that the new run gives to files: those in a run made elsewhere may be anything."""
    checks = tuple(_at(check, check_name(n)) for n, check in enumerate(task.goal.checks, 1))
    return task.model_copy(update={"goal": _at(task.goal, GOAL).model_copy(update={"checks": checks})})


def _at(written: C, name: str) -> C:
    return written.model_copy(update={"path": files_of(name)[1]}) if written.kind == "model" else written


def _best_of(run: RunSummary) -> Candidate:
    if run.best is None:
        raise _nothing_to_refine(run)
    return run.candidate(run.best)


def _nothing_to_refine(run: RunSummary) -> UsageError:
    hint = f"rewardsmith resume {run.id}" if not run.finished else "start from another run"
    return UsageError(f"the run {run.id} has no trained reward to refine", hint=hint)
