"""A finished run on the terminal: the answer first, then where everything is."""

from __future__ import annotations

from rich.table import Table

from rewardsmith.analyze.race import why as standing_in_words
from rewardsmith.cli.console import results, wash
from rewardsmith.loop.summary import Candidate, RunSummary, describe


def show_run(run: RunSummary) -> None:
    """Headline, candidates, cost and paths, on stdout."""
    results.print()
    words = wash(run.task.words if run.task else run.config.words)
    results.print(f"[bold]{words}[/]  ({wash(run.config.env.name)}, run {wash(run.id)})")
    if run.task:
        results.print(f"Goal ({GOAL_KINDS[run.task.goal.kind]}): {wash(run.task.goal.about)}")
    show_headline(run)
    _candidates(run)
    if run.best and (advice := advice_on(run.candidate(run.best))):
        results.print(wash(advice), soft_wrap=True)
    spent = run.spent
    cost = f"{spent.env_steps:,} environment steps, {spent.calls} model calls, {spent.tokens:,} tokens"
    results.print(f"Spent: {cost}" + (f", ${spent.usd:.2f}" if spent.usd else ""))
    if run.best_path:
        results.print(f"Reward: {wash(str(run.best_path))}", soft_wrap=True)
    results.print(f"Report: {wash(str(run.root / 'report.html'))}", soft_wrap=True)


GOAL_KINDS = {
    "pack": "the pack's own metric",
    "metric_file": "your metric",
    "model": "written by the model, accepted by you, frozen before any reward existed",
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
    table.add_row(
        f"designed ({wash(run.best or '')})",
        describe(h.designed_success),
        describe(h.designed_fitness),
        style="bold green",
    )
    if h.sparse_success:
        table.add_row("sparse (0/1 success)", describe(h.sparse_success), describe(h.sparse_fitness))
    results.print(table)
    if h.sparse_success:
        answer, measure = h.decision
        verb = {"better": "beats", "worse": "is worse than", "cannot tell yet": "cannot be told apart yet from"}[answer]
        on = f" on {measure}" if measure else ""
        results.print(f"The designed reward {verb} the sparse one{on} (95 % intervals over seeds).")


def _candidates(run: RunSummary) -> None:
    given = run.config.method == "given"
    title = f"Trained with {run.config.seeds} seeds" if given else "Search"
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("candidate", "state", "success", "fitness", "why"):
        table.add_column(column, justify="right" if column in ("success", "fitness") else "left")
    for candidate in run.candidates:
        scores = candidate.training.final_scores if candidate.training else []
        success, fitness = [s for s, _ in scores], [f for _, f in scores]
        score = candidate.score
        table.add_row(
            wash(candidate.id),
            str(candidate.state),
            (describe(success) if given else f"{score[0]:.2f}") if score else "",
            (describe(fitness) if given else f"{score[1]:.4g}") if score else "",
            wash(why(candidate), 160),
        )
    results.print(table)


LOST = 0.5  # of the highest success, at the end


def advice_on(best: Candidate) -> str:
    """What to try when the best candidate does not succeed, or no longer; empty when it does."""
    curves = [m.curve for m in best.training.members if m.state == "trained" and m.curve] if best.training else []
    if not curves:
        return ""
    success = [sum(points) / len(points) for points in zip(*([p.success for p in c] for c in curves), strict=False)]
    peak = max(range(len(success)), key=lambda i: success[i])
    if success[peak] == 0:
        return "No episode of the best candidate succeeded: more --rounds, or more env_steps, may be needed."
    if success[-1] > LOST * success[peak]:
        return ""
    first, last, at = curves[0][0].reward, curves[0][-1].reward, curves[0][peak].env_steps
    rose = " while its own reward rose, so the reward pays for something else than the task" if last > first else ""
    return (
        f"The best candidate reached success {success[peak]:.2f} at {at:,} env steps and ended at "
        f"{success[-1]:.2f}{rose}. Look at its curves in the report; --rounds may mend the reward, "
        f"--set env_steps={at} stops before it is lost."
    )


def why(candidate: Candidate) -> str:
    """The first thing that explains a candidate's state."""
    if candidate.proposal.failure:
        return candidate.proposal.failure
    if candidate.verdict and not candidate.verdict.accepted:
        return next((f.message for f in candidate.verdict.findings if f.severity == "refuse"), "")
    members = candidate.training.members if candidate.training else ()
    errors = [m.error for m in members if m.error]
    if candidate.training and candidate.training.race and not candidate.training.race[-1].kept and not errors:
        return standing_in_words(candidate.training.race[-1])
    return errors[0] if errors else ""
