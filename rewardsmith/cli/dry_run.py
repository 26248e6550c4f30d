"""`--dry-run` of `design` and `refine`: the first prompts and the cost, and nothing spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewardsmith.cli.console import print_json, results, wash

if TYPE_CHECKING:
    from rewardsmith.loop.plan import Plan


def show_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        print_json(plan.model_dump(mode="json"))
        return
    for name, text in plan.prompts:
        results.rule(f"prompt: {name}")
        results.print(wash(text, limit=100_000), soft_wrap=True)
    results.rule("cost")
    if not plan.prompts:
        results.print("model calls   none: `builtin` is no language model")
    else:
        results.print(f"model calls   {plan.model_calls[0]} to {plan.model_calls[1]} (with every repair used)")
        results.print(f"tokens        about {plan.tokens[0]:,} to {plan.tokens[1]:,}")
        if plan.usd:
            results.print(f"dollars       about {plan.usd[0]:.2f} to {plan.usd[1]:.2f}, by your prices")
    results.print(f"env steps     at most {plan.env_steps:,} ({plan.steps_are})")
    minutes = f"roughly {plan.minutes:.0f} minutes" if plan.minutes >= 1.5 else "a minute or so"
    results.print(
        f"time          {minutes} of training on {plan.workers} cores, by a half-second trial; racing saves some"
    )
