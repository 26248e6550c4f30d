"""`rewardsmith check FILE...`: the critic on reward files, without training anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from rewardsmith.cli.console import log_to_stderr, print_json, results, wash
from rewardsmith.cli.design import AsJson, EnvKwargs, parse_kwargs
from rewardsmith.errors import EXIT_NOTHING_ACCEPTABLE, UsageError, unknown
from rewardsmith.types import Finding, Verdict

MARKS = {"refuse": "[bold red]refuse[/]", "warn": "[yellow]warn[/]", "info": "[dim]info[/]"}


def check(
    files: Annotated[list[Path] | None, typer.Argument(help="Reward files.")] = None,
    env: Annotated[str | None, typer.Option(help="The environment whose features the rewards read.")] = None,
    interface: Annotated[
        Path | None, typer.Option(help="Features and action as JSON instead of an environment (see docs/contract.md).")
    ] = None,
    own_task: Annotated[
        bool,
        typer.Option("--own-task", help="They are for a task of your own: the goal states of the pack's do not count."),
    ] = False,
    native: Annotated[
        bool, typer.Option("--native", help="Audit the environment's own reward instead of reward files.")
    ] = False,
    explain: Annotated[str | None, typer.Option(metavar="ID", help="Explain a finding, such as gate.import.")] = None,
    env_kwargs: EnvKwargs = None,
    allow_unsandboxed: Annotated[bool, typer.Option("--allow-unsandboxed", help="Dangerous.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check reward files: safe, traceable, sensible on recorded episodes. Exits 0 when all are accepted.

    With --native, an environment's own reward is audited on recorded episodes instead."""
    log_to_stderr()
    if explain is not None:
        _explain(explain)
        return
    if native:
        if files or env is None or interface is not None:
            raise UsageError(
                "--native audits the reward of an environment and takes no reward files",
                hint="rewardsmith check --env Hopper-v5 --native",
            )
        _audit(env, parse_kwargs(env_kwargs), allow_unsandboxed=allow_unsandboxed, as_json=as_json)
        return
    if not files:
        raise UsageError("no reward file was given", hint="rewardsmith check reward.py --env hopper")
    if env is None and interface is None:
        raise UsageError(
            "which features the rewards may read is not said",
            hint="add --env NAME (`rewardsmith envs` lists them), or --interface FILE",
        )
    if env is not None and interface is not None:
        raise UsageError("--env and --interface exclude each other", hint="leave one of them away")
    from rewardsmith.loop.checking import check_files, critic_for

    refused = misled = False
    kwargs = parse_kwargs(env_kwargs)
    with critic_for(env, interface, kwargs, own_task=own_task, allow_unsandboxed=allow_unsandboxed) as critic:
        for file, verdict in check_files(files, critic):
            refused |= not verdict.accepted
            misled |= "direction.inverted" in {f.id for f in verdict.findings}
            if as_json:
                print_json(_line(file, verdict))
            else:
                _show(file, verdict)
    if misled and not as_json:
        results.print("Compared with the goal of the environment's pack. If it is another one, add --own-task.")
    if refused:
        raise typer.Exit(EXIT_NOTHING_ACCEPTABLE)


def _audit(env: str, env_kwargs: dict[str, object], *, allow_unsandboxed: bool, as_json: bool) -> None:
    from rewardsmith.loop.checking import audit_native

    seen = audit_native(env, env_kwargs, allow_unsandboxed=allow_unsandboxed)
    if as_json:
        print_json({"env": seen.env, "env_steps": seen.env_steps, "findings": _listed(seen.findings)})
        return
    results.print(f"{wash(seen.env)}: its own reward on {seen.env_steps:,} recorded steps", soft_wrap=True)
    _show_findings(seen.findings)


def _line(file: Path, verdict: Verdict) -> dict[str, object]:
    return {
        "file": str(file),
        "verdict": "accepted" if verdict.accepted else "refused",
        "findings": _listed(verdict.findings),
    }


def _listed(findings: Sequence[Finding]) -> list[dict[str, object]]:
    return [f.model_dump(include={"id", "severity", "message", "hint", "line"}) for f in findings]


def _show(file: Path, verdict: Verdict) -> None:
    word = "[bold green]accepted[/]" if verdict.accepted else "[bold red]refused[/]"
    results.print(f"{wash(str(file))}: {word}", soft_wrap=True)
    _show_findings(verdict.findings)


def _show_findings(findings: Sequence[Finding]) -> None:
    for f in findings:
        where = f" line {f.line}" if f.line else ""
        results.print(f"  {MARKS[f.severity]} {f.id}{where}: {wash(f.message)}", soft_wrap=True)
        if f.hint and f.severity != "info":
            results.print(f"      [green]fix[/] {wash(f.hint)}", soft_wrap=True)


def _explain(id: str) -> None:
    from rewardsmith.critic.table import FINDINGS

    if id not in FINDINGS:
        raise UsageError(unknown("finding", id, FINDINGS))
    explanation = FINDINGS[id]
    results.print(f"[bold]{id}[/]: {wash(explanation.title)}")
    results.print(f"  why: {wash(explanation.why)}", soft_wrap=True)
    results.print(f"  fix: {wash(explanation.fix)}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command()(check)
