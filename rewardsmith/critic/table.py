"""The table of checks, in the order they run, and every finding's explanation: `check --explain ID`."""

from __future__ import annotations

from rewardsmith.critic import checks_ends as ends
from rewardsmith.critic import checks_episodes as episodes
from rewardsmith.critic import checks_exploits as exploits
from rewardsmith.critic import checks_goals as goals
from rewardsmith.critic import checks_native as native
from rewardsmith.critic import checks_values as values
from rewardsmith.critic import checks_ways as ways
from rewardsmith.critic import checks_words as words
from rewardsmith.critic.findings import Check, other_explanations
from rewardsmith.reward.findings import FINDINGS as REWARD_FINDINGS
from rewardsmith.reward.findings import Explanation

CHECKS: tuple[Check, ...] = (
    values.crash,
    values.shape,
    values.sizes,
    values.nonfinite,
    values.absurd,
    values.edge,
    values.mixed,
    values.batch_size,
    values.constant,
    values.only_length,
    values.only_shaping,
    values.silent,
    values.dead_component,
    values.sleeping_component,
    values.constant_component,
    values.drowned,
    values.unused_feature,
    values.unused_parameter,
    values.unused_memory,
    words.units,
    episodes.failure_pays,
    episodes.time_limit_jump,
    episodes.idling_pays,
    episodes.dying_pays,
    ends.blank_end,
    ends.potential_end,
    episodes.inverted,
    episodes.doubtful,
    ways.near_steps,
    ways.late,
    goals.sign_blind,
    goals.half_read,
    goals.overshoot,
    ways.stops_short,
    goals.flat,
    episodes.successes_lose,
    exploits.oscillation,
    exploits.simple_policy,
    exploits.early_failure,
    exploits.idle_beats_random,
    goals.delay,
    words.needs_memory,
    episodes.near,
    episodes.shaped,
    episodes.novelty,
)

# For an environment's own reward, of which only recorded values are known.
NATIVE_CHECKS: tuple[Check, ...] = (
    values.nonfinite,
    values.absurd,
    native.scale,
    native.silent,
    native.constant,
    native.sparse,
    native.terms,
    values.drowned,
    native.alive_bonus,
    native.last_step,
    episodes.failure_pays,
    episodes.time_limit_jump,
    episodes.idling_pays,
    episodes.dying_pays,
    native.simple_policies,
    native.to_and_fro,
    exploits.simple_policy,
    exploits.early_failure,
    exploits.idle_beats_random,
)

FINDINGS: dict[str, Explanation] = {
    **REWARD_FINDINGS,
    **other_explanations(),
    **{check.id: check.explanation for check in (*CHECKS, *NATIVE_CHECKS)},
}
