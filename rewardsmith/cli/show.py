"""A finished run on the terminal: the answer first, then where everything is."""

from __future__ import annotations

from rich.table import Table

from rewardsmith.analyze.course import course_of
from rewardsmith.analyze.observations import broken_episodes, loss_of
from rewardsmith.analyze.race import ending
from rewardsmith.analyze.report.headline import never_succeeds
from rewardsmith.cli.console import results, wash
from rewardsmith.loop.failing import reason
from rewardsmith.loop.summary import UNCHANGED, Candidate, RunSummary, describe, label_of


def show_run(run: RunSummary) -> None:
    """Headline, candidates, cost and paths, on stdout."""
    results.print()
    words = wash(run.task.words if run.task else run.config.words)
    results.print(f"[bold]{words}[/]  ({wash(run.config.env.name)}, run {wash(run.id)})")
    if run.task:
        results.print(f"Goal ({GOAL_KINDS[run.task.goal.kind]}): {wash(run.task.goal.about)}")
    for check in run.task.goal.checks if run.task else ():
        results.print(f"Wish: {wash(check.wish)} (met when: {wash(check.about)})")
    show_headline(run)
    _wishes(run)
    _candidates(run)
    searched = run.config.method != "given"
    if run.best and (advice := advice_on(run.candidate(run.best), searched=searched)):
        results.print(wash(advice), soft_wrap=True)
    for line in shortcomings(run):
        results.print(f"[yellow]Note:[/] {wash(line)}", soft_wrap=True)
    spent = run.spent
    cost = f"{spent.env_steps:,} environment steps, {spent.calls} model calls, {spent.tokens:,} tokens"
    results.print(f"Spent: {cost}" + (f", ${spent.usd:.2f}" if spent.usd else ""))
    if run.best_path:
        results.print(f"Reward: {wash(str(run.best_path))}", soft_wrap=True)
    results.print(f"Report: {wash(str(run.root / 'report.html'))}", soft_wrap=True)


GOAL_KINDS = {
    "pack": "the pack's own metric",
    "metric_file": "your metric",
    "model": "written by the model, frozen before any reward existed",
    "people": "people's rankings",
    "native": "the environment's own",
}


def show_headline(run: RunSummary) -> None:
    """Designed against sparse, on fresh seeds."""
    if run.headline is None:
        return
    h = run.headline
    table = Table(title="Fresh seeds that selection never saw", title_justify="left", title_style="bold")
    for column in ("reward", "success rate", "fitness"):
        table.add_column(column, justify="left" if column == "reward" else "right")
    success = describe if run.has_success else lambda scores: "not defined"
    table.add_row(
        f"designed ({wash(run.best or '')})",
        success(h.designed_success),
        describe(h.designed_fitness),
        style="bold green",
    )
    if h.sparse_success:
        table.add_row("sparse (0/1 success)", success(h.sparse_success), describe(h.sparse_fitness))
    if h.start_success:
        table.add_row("start (the reward that was refined)", success(h.start_success), describe(h.start_fitness))
    results.print(table)
    if h.reference:
        answer, measure = h.decision
        verb = {"better": "beats", "worse": "is worse than", "cannot tell yet": "cannot be told apart yet from"}[answer]
        on = f" on {measure}" if measure else ""
        if answer == "better" and run.has_success and never_succeeds(h.designed_success):
            results.print("[yellow]No episode with the designed reward succeeded.[/]")
        results.print(f"The designed reward {verb} the {h.reference} one{on} (95 % intervals over seeds).")


def _wishes(run: RunSummary) -> None:
    """Which share of episodes meets each wish, with the reward that was refined and with the best one."""
    if not run.task or not run.wishes:
        return
    table = Table(title="Share of recorded episodes that meet each wish", title_justify="left", title_style="bold")
    table.add_column("wish")
    for id, met in run.wishes.items():
        table.add_column(f"{wash(label_of(id))}, {met.episodes} episodes", justify="right")
    table.add_row("success (the goal and every wish)", *(f"{met.success:.0%}" for met in run.wishes.values()))
    for check in run.task.goal.checks:
        table.add_row(wash(check.wish), *(f"{met.shares[check.wish]:.0%}" for met in run.wishes.values()))
    results.print(table)


def _candidates(run: RunSummary) -> None:
    given = run.config.method == "given"
    seeds = run.config.seeds
    title = f"Trained with {seeds} seed{'s' if seeds != 1 else ''}" if given else "Search"
    table = Table(title=title, title_justify="left", title_style="bold")
    measures = () if run.config.unmeasured else ("success", "fitness")
    for column in ("candidate", "state", *measures, *["liked"] * bool(run.judgements), "why"):
        table.add_column(column, justify="right" if column in measures else "left")
    for candidate in run.candidates:
        scores = candidate.training.final_scores if candidate.training else []
        success, fitness = [s for s, _ in scores], [f for _, f in scores]
        score = candidate.score
        measured = [
            (describe(success) if given else f"{score[0]:.2f}") if score else "",
            (describe(fitness) if given else f"{score[1]:.4g}") if score else "",
        ]
        table.add_row(
            wash(candidate.id),
            str(candidate.state),
            *([] if run.config.unmeasured else measured),
            *[run.liked(candidate.id)] * bool(run.judgements),
            wash(reason(candidate), 400),
        )
    results.print(table)


def advice_on(best: Candidate, *, searched: bool = True) -> str:
    """What to try when the best candidate does not succeed, or no longer; empty when it does, or nobody can say.

    `searched`: whether more rounds could be had, as by `design`.
    """
    curves = [m.curve for m in best.training.members if m.state == "trained" and m.curve] if best.training else []
    if not best.training or not curves or (best.analysis and not best.analysis.has_success):
        return ""
    which = "the best candidate" if searched else best.id
    if not any(point.success for curve in curves for point in curve):
        more = (
            "more --rounds, or more env_steps,"
            if searched
            else "more env steps (--set env_steps=N), or another reward,"
        )
        return f"No evaluated episode of {which} succeeded: {more} may be needed."
    course = course_of(best.training)
    loss = loss_of(course)
    if loss is None:
        return ""
    rose = course.reward[-1] > course.reward[0]
    meanwhile = ", while its own reward rose: it may pay for something else than the task" if rose else ""
    mend = "more --rounds may mend the reward" if searched else "another reward may hold it"
    return (
        f"For {which}, {loss}{meanwhile}. Each seed's best policy was kept, not its last one; {mend}. "
        "Look at its curves in the report."
    )


def shortcomings(run: RunSummary) -> list[str]:
    """What lessens the worth of the figures above."""
    unchanged = [UNCHANGED] if run.unchanged else []
    members = [m for c in run.candidates if c.training for m in c.training.members]
    members += [m for result in run.final.values() for m in result.members]
    lines = [f"on the fresh seeds, {id}: {said}" for id, result in run.final.items() if (said := ending(result))]
    broken = broken_episodes(members)
    return [*unchanged, *lines, *([broken] if broken else [])]
