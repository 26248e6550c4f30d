"""What only an audit of an environment's own reward asks: how much does it say, and which part of it speaks?"""

from __future__ import annotations

import torch

from rewardsmith.bank.simple import TO_AND_FRO
from rewardsmith.critic.checks_episodes import MIN_ENDS, MIN_OUTCOMES, recorded
from rewardsmith.critic.checks_exploits import returns
from rewardsmith.critic.checks_values import is_constant, quoted
from rewardsmith.critic.evidence import Evidence, Inconclusive
from rewardsmith.critic.findings import check

RARE = 0.01
SPIKE = 5.0  # of the usual spread, how far the last step lies from the others
ALWAYS = 0.9  # of all steps, on how many a bonus for being alive is paid


@check(
    "native.scale",
    "info",
    title="What random actions are paid",
    why="The size of a reward decides how much a fixed penalty, a clip or a learning rate matters.",
    fix="Nothing; rewardsmith normalizes rewards while training.",
)
def scale(evidence: Evidence) -> str | None:
    sample, pay = recorded(evidence), evidence.values.total.double()
    low, high = (float(v) for v in pay.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64)))
    whole = returns(sample, pay)
    return (
        f"random steps pay {low:.4g} to {high:.4g} (5-95 %), {float(pay.mean()):.4g} on average; {len(whole)} random "
        f"episodes {float(whole.mean()):.4g} +- {float(whole.std(correction=0)):.4g} in "
        f"{float(sample.lengths.double().mean()):.0f} steps"
    )


@check(
    "native.silent",
    "warn",
    title="Every random episode is paid the same",
    why="Exploration by chance finds no difference between good and bad, so there is nothing to learn from at first.",
    fix="Train on a denser reward, explore by other means, or start episodes nearer the goal.",
)
def silent(evidence: Evidence) -> str | None:
    whole = returns(recorded(evidence), evidence.values.total)
    if len(whole) < MIN_OUTCOMES:
        raise Inconclusive(f"only {len(whole)} random episodes were looked at")
    return f"all {len(whole)} random episodes are paid {float(whole[0]):.4g}" if is_constant(whole) else None


@check(
    "native.constant",
    "warn",
    title="Every step is paid the same",
    why="The reward says only how long an episode lasts; all that is to be learned lies in when it ends.",
    fix="A term that grows on the way to the goal (or away from failure) teaches faster.",
)
def constant(evidence: Evidence) -> str | None:
    sample, pay = recorded(evidence), evidence.values.total
    if not is_constant(pay):
        return None
    return (
        f"all {len(pay):,} random steps pay {float(pay[0]):.4g}; episodes last {int(sample.lengths.min())} to "
        f"{int(sample.lengths.max())} steps"
    )


@check(
    "native.sparse",
    "warn",
    title="Hardly any step pays anything but the usual",
    why="What tells good from bad happens so rarely under random actions that training mostly hears nothing.",
    fix="Add a dense term, or explore by other means.",
)
def sparse(evidence: Evidence) -> str | None:
    pay = evidence.values.total
    values, counts = pay.unique(return_counts=True)
    other = len(pay) - int(counts.max())
    if not 0 < other <= RARE * len(pay):
        return None
    return f"{other} of {len(pay):,} random steps pay anything but {float(values[counts.argmax()]):.4g}"


@check(
    "native.last_step",
    "info",
    title="The step that ends an episode is paid very differently",
    why="A large payment at the end outweighs everything on the way and makes returns jump.",
    fix="Nothing, if the end is what the task is about.",
)
def last_step(evidence: Evidence) -> str | None:
    sample, pay = recorded(evidence), evidence.values.total.double()
    ends = sample.terminated
    if int(ends.sum()) < MIN_ENDS or ends.all():
        raise Inconclusive("too few of the episodes looked at ended by themselves")
    at_end, usual, spread = float(pay[ends].mean()), float(pay[~ends].mean()), float(pay[~ends].std(correction=0))
    if abs(at_end - usual) <= SPIKE * spread + 1e-6 * abs(usual):
        return None
    return (
        f"the {int(ends.sum())} steps that ended a random episode pay {at_end:.4g} on average, all others {usual:.4g} "
        f"+- {spread:.4g}"
    )


@check(
    "native.terms",
    "info",
    title="How much each term of the reward says",
    why="A policy hears the term that moves most; one that hardly moves might as well not be there.",
    fix="Nothing; see signal.drowned where one term covers the others.",
)
def terms(evidence: Evidence) -> str | None:
    parts = {name: value.double() for name, value in evidence.values.components.items()}
    if not parts:
        raise Inconclusive("the environment does not say which terms its reward has")
    spread = {name: float(value.std(correction=0)) for name, value in parts.items()}
    whole = sum(spread.values()) or 1.0
    listed = (f"{n} {float(v.mean()):.3g} a step, {spread[n] / whole:.0%} of the movement" for n, v in parts.items())
    return "; ".join(listed)


@check(
    "native.alive_bonus",
    "info",
    title="A bonus for being alive",
    why="Nearly every step pays the same extra; surviving without doing the task collects it too.",
    fix="Nothing, if staying alive is most of the task; else compare what doing nothing is paid.",
)
def alive_bonus(evidence: Evidence) -> str | None:
    sample, whole = recorded(evidence), returns(recorded(evidence), evidence.values.total)
    for name, value in evidence.values.components.items():
        usual = value.median()
        if float(usual) > 0 and float((value == usual).double().mean()) >= ALWAYS:
            return (
                f"{quoted([name])} is {float(usual):.4g} in nearly every step: random episodes collect "
                f"{float(returns(sample, value).mean()):.4g} of it, and {float(whole.mean()):.4g} in all"
            )
    return None


@check(
    "native.simple_policies",
    "info",
    title="What needs no learning is paid",
    why="Training finds what is easy first: a policy that acts blindly sets the mark a trained one has to beat.",
    fix="Nothing; compare with what a trained policy is paid.",
)
def simple_policies(evidence: Evidence) -> str | None:
    def told(name: str) -> str:
        sample = evidence.simple[name]
        pay = float(returns(sample, evidence.simple_values[name].total).mean())
        won = "" if bool(sample.success.isnan().any()) else f", success {float(sample.success.mean()):.0%}"
        return f"{name} {pay:.4g} in {float(sample.lengths.double().mean()):.0f} steps{won}"

    return "; ".join(told(name) for name in evidence.simple) or None


@check(
    "native.to_and_fro",
    "warn",
    title="Rocking to and fro is paid better than anything else that needs no learning",
    why="Going back and forth at full strength, blindly, collects more than standing still and than random actions, "
    "and does not succeed: a policy may stop there.",
    fix="See whether the task's own progress, rather than movement as such, is what is paid.",
)
def to_and_fro(evidence: Evidence) -> str | None:
    sample = recorded(evidence)
    if TO_AND_FRO not in evidence.simple or bool((evidence.simple[TO_AND_FRO].success >= 0.5).any()):
        return None
    paid = {n: float(returns(s, evidence.simple_values[n].total).mean()) for n, s in evidence.simple.items()}
    random = returns(sample, evidence.values.total)
    rocking = paid.pop(TO_AND_FRO)
    best = max([float(random.max()), *paid.values()])
    if rocking <= best + 0.1 * abs(best):
        return None
    return f"{TO_AND_FRO!r} is paid {rocking:.4g} an episode; the best of everything else tried {best:.4g}"
