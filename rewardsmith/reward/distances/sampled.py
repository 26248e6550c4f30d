"""STARC, EPIC and DARD between reward programs, estimated on transitions of a real environment.

Which is which: STARC (minimal form) is the one to read. It looks only at transitions that happened. EPIC looks at
mixed ones (s, A, S') that may be impossible, and DARD needs a second step from every next state. A reward's explicit
`potential()` is shaping by construction and is left out everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rewardsmith.reward.distances.potentials import Basis, Features, Span, own_shaping, shaping, unit
from rewardsmith.reward.program import RewardProgram

EPIC_MEANS = 64  # (A, S') samples behind each expectation of EPIC

MEMORY = "it has memory: what it pays for a transition depends on what came before"
CONSTANT = "it is constant up to potential shaping on these transitions"
NO_SECOND_STEP = (
    "there is no second step from the next states: the environment cannot go back to a state, or episodes are one step"
)


@dataclass(frozen=True)
class Coverage:
    """Transitions to compare rewards on: n states, K actions tried in each, and one step on from where they led.

    Attributes:
        obs: features of the states, each (n, ...).
        action: (n, K, ...), resampled at random; K = 1 and the recorded action where states cannot be restored.
        next_obs: features after each action, (n, K, ...), with "terminated" (n, K) bool.
        second_action, second_obs: J further actions from each next state, (n, K, J, ...), and where they led, or None.
            Rows after a terminated step are fillers that nothing reads.
        env_steps: what making it cost.
        about: where it came from, in words.
    """

    obs: dict[str, Tensor]
    action: Tensor
    next_obs: dict[str, Tensor]
    second_action: Tensor | None = None
    second_obs: dict[str, Tensor] | None = None
    env_steps: int = 0
    about: str = ""

    @property
    def states(self) -> int:
        return self.action.shape[0]

    @property
    def actions(self) -> int:
        return self.action.shape[1]

    @property
    def second_actions(self) -> int:
        return 0 if self.second_action is None else self.second_action.shape[2]

    @property
    def terminated(self) -> Tensor:
        return self.next_obs["terminated"]

    def rows(self) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """All n * K transitions as obs, action, next_obs, each (n * K, ...)."""
        obs = {name: value.repeat_interleave(self.actions, 0) for name, value in self.obs.items()}
        return obs, self.action.flatten(0, 1), {name: value.flatten(0, 1) for name, value in self.next_obs.items()}


@dataclass(frozen=True)
class Metric:
    """One kind of distance between all rewards: `matrix` (R, R) float64, NaN where a reward has no place in it.

    `left_out` says of which rewards, and why; `note` why there is no matrix at all.
    """

    matrix: Tensor | None
    left_out: dict[str, str]
    note: str = ""


@dataclass(frozen=True)
class Distances:
    """STARC in [0, 2], EPIC and DARD in [0, 1], between `names`: 0 is equal up to shaping and positive scale.

    `uninformative` names the rewards whose canonical form is zero: to STARC they are the zero vector, at distance 1
    from every other reward and 0 from each other.
    """

    names: tuple[str, ...]
    gamma: float
    starc: Metric
    epic: Metric
    dard: Metric
    uninformative: tuple[str, ...]

    @property
    def metrics(self) -> dict[str, Metric]:
        return {"starc": self.starc, "epic": self.epic, "dard": self.dard}


def reward_distances(
    rewards: Mapping[str, RewardProgram], coverage: Coverage, *, gamma: float, seed: int = 0
) -> Distances:
    """All three distances between all rewards. Deterministic for a coverage and a seed.

    Args:
        gamma: discount; shaping is removed for this one.
        seed: of the random Fourier features and of EPIC's samples.
    """
    with torch.inference_mode():
        starc, uninformative = _starc(rewards, coverage, gamma, seed)
        epic = _correlations(rewards, lambda program: epic_form(program, coverage, gamma, seed))
        if coverage.second_obs is None:
            dard = Metric(None, {}, NO_SECOND_STEP)
        else:
            dard = _correlations(rewards, lambda program: dard_form(program, coverage, gamma))
    return Distances(tuple(rewards), gamma, starc, epic, dard, uninformative)


class NotComparable(Exception):
    """A reward has no place among the others; the message says why (and may quote untrusted text)."""


# --- STARC, minimal form ---------------------------------------------------------------------------------------------


def _starc(
    rewards: Mapping[str, RewardProgram], coverage: Coverage, gamma: float, seed: int
) -> tuple[Metric, tuple[str, ...]]:
    """L2 distances of normalized rewards after the best potential of a rich basis was subtracted (arXiv 2309.15257)."""
    obs, action, next_obs = coverage.rows()
    basis = Basis(coverage.obs, seed=seed)
    before = basis(coverage.obs).repeat_interleave(coverage.actions, 0)
    columns = [shaping(before, basis(next_obs), coverage.terminated.flatten(), gamma)]
    values, left_out = {}, {}
    for name, program in rewards.items():
        try:
            values[name] = pay(program, obs, action, next_obs)
        except NotComparable as reason:
            left_out[name] = str(reason)
            continue
        columns.append(own_shaping(program, obs, action, next_obs, gamma))
    span = Span(len(action)).extended(columns)
    if len(action) < 2 * span.basis.shape[1]:
        return Metric(None, left_out, f"{len(action)} transitions are too few to remove potentials from rewards"), ()
    forms = {name: unit(span.removed_from(value), value) for name, value in values.items()}
    zero = torch.zeros(len(action), dtype=torch.float64)
    vectors = [None if name not in forms else zero if forms[name] is None else forms[name] for name in rewards]
    silent = tuple(name for name, form in forms.items() if form is None)
    return Metric(_pairwise(vectors, lambda x, y: float((x - y).norm())), left_out), silent


# --- EPIC and DARD ---------------------------------------------------------------------------------------------------
# Neither knows terminal states, so transitions that end an episode are left out: with them, shaping would not cancel.


def epic_form(program: RewardProgram, coverage: Coverage, gamma: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """R(s,a,s') + E[gamma R(s',A,S') - R(s,A,S')] on the transitions that go on, and R there, both (M,).

    The fourth term of EPIC is a constant. (A, S') are the same for every state: actions and states of the coverage,
    drawn apart from each other.
    """
    obs, action, next_obs = coverage.rows()
    on = ~coverage.terminated.flatten()
    draw = torch.Generator().manual_seed(seed)
    places = on.nonzero().flatten()
    if not len(places):
        raise NotComparable("no transition went on")
    chosen, apart = (places[torch.randint(len(places), (EPIC_MEANS,), generator=draw)] for _ in range(2))
    then, arriving = action[apart], _take(next_obs, chosen)

    def leaving(states: Features) -> Tensor:
        """(M,): E[R(x, A, S')] for states x (M, ...)."""
        count = len(next(iter(states.values())))
        every = {name: value.repeat_interleave(EPIC_MEANS, 0) for name, value in states.items()}
        ends = {name: value.repeat(count, *[1] * (value.dim() - 1)) for name, value in arriving.items()}
        acts = then.repeat(count, *[1] * (then.dim() - 1))
        return pay(program, every, acts, ends).view(count, EPIC_MEANS).mean(1)

    direct = pay(program, _take(obs, on), action[on], _take(next_obs, on))
    before = leaving(coverage.obs).repeat_interleave(coverage.actions)[on]
    return direct + gamma * leaving(_states(_take(next_obs, on))) - before, direct


def dard_form(program: RewardProgram, coverage: Coverage, gamma: float) -> tuple[Tensor, Tensor]:
    """R(s,a,s') + E[gamma R(s',A,S'') - R(s,A,S') - gamma R(S',A,S'')] on the transitions that go on, and R, both (M,).

    S' are the next states of s that went on, A and S'' are what was tried from s'.
    """
    assert coverage.second_action is not None and coverage.second_obs is not None
    n, k, j = coverage.second_action.shape[:3]
    obs, action, next_obs = coverage.rows()
    on = ~coverage.terminated  # (n, K)
    direct = pay(program, obs, action, next_obs).view(n, k)
    # between[i, x, y, j]: from next state x of state i, by the j-th action of next state y, to where that one led
    states = {name: value[:, :, None, None].expand(n, k, k, j, *value.shape[2:]) for name, value in
              _states(coverage.next_obs).items()}  # fmt: skip
    acts = coverage.second_action[:, None].expand(n, k, *coverage.second_action.shape[1:])
    ends = {name: value[:, None].expand(n, k, *value.shape[1:]) for name, value in coverage.second_obs.items()}
    wanted = (on[:, :, None] & on[:, None, :])[..., None].expand(n, k, k, j)
    between = torch.zeros(n, k, k, j, dtype=torch.float64)
    between[wanted] = pay(program, _take(states, wanted), acts[wanted], _take(ends, wanted))
    onward = on.double() / on.sum(1, keepdim=True).clamp(min=1)  # E over S'
    expected = between.mean(3)
    second = expected.diagonal(dim1=1, dim2=2)
    third = (onward[:, :, None] * expected).sum(1)
    form = direct + gamma * second - (onward * direct).sum(1, keepdim=True) - gamma * third
    return form[on], direct[on]


def _correlations(
    rewards: Mapping[str, RewardProgram], form: Callable[[RewardProgram], tuple[Tensor, Tensor]]
) -> Metric:
    """Pearson distances sqrt((1 - rho) / 2) of canonical forms."""
    vectors: list[Tensor | None] = []
    left_out = {}
    for name, program in rewards.items():
        try:
            canonical, values = form(program)
            vectors.append(unit(canonical - canonical.mean(), values))
            if vectors[-1] is None:
                left_out[name] = CONSTANT
        except NotComparable as reason:
            vectors.append(None)
            left_out[name] = str(reason)
    return Metric(_pairwise(vectors, lambda x, y: float((x - y).norm()) / 2), left_out)


# --- both ------------------------------------------------------------------------------------------------------------


def pay(program: RewardProgram, obs: Features, action: Tensor, next_obs: Features) -> Tensor:
    """The reward without its `potential()`, (M,) float64. Raises: NotComparable: memory, a failure, or not finite."""
    if program.remembers:
        raise NotComparable(MEMORY)
    try:
        values = program(obs, action, next_obs).total.double()
    except Exception as error:  # whatever an operation of the candidate's graph raises is the candidate's fault
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise NotComparable(f"it fails on these transitions: {lines[0][:200]}") from error
    wrong = int((~torch.isfinite(values)).sum())
    if wrong:
        raise NotComparable(f"it is not finite on {wrong:,} of {len(values):,} transitions")
    return values


def _pairwise(vectors: list[Tensor | None], distance: Callable[[Tensor, Tensor], float]) -> Tensor:
    """(R, R) float64 of the distances; NaN where a vector is missing."""
    matrix = torch.full((len(vectors), len(vectors)), torch.nan, dtype=torch.float64)
    for i, x in enumerate(vectors):
        for k, y in enumerate(vectors[: i + 1]):
            if x is not None and y is not None:
                matrix[i, k] = matrix[k, i] = 0.0 if i == k else distance(x, y)
    return matrix


def _take(features: Features, index: Tensor) -> dict[str, Tensor]:
    return {name: value[index] for name, value in features.items()}


def _states(next_obs: Features) -> dict[str, Tensor]:
    """Next states as states to leave from."""
    return {name: value for name, value in next_obs.items() if name != "terminated"}
