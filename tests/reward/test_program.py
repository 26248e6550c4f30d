"""Running graphs: parameters, gradients, memory over rollouts, potentials, goals, and devices."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from rewardsmith.errors import UsageError
from rewardsmith.jail import Jail
from rewardsmith.reward.compile import compile_goal, compile_reward
from rewardsmith.reward.graph import parse_goal
from rewardsmith.reward.program import GoalProgram, RewardProgram
from tests.reward.corpus.benign import BENIGN
from tests.reward.corpus.interface import INTERFACE, transition

GOAL = """
def step(obs, action, next_obs):
    fast = next_obs["velocity"][:, 0]
    return {"speed": fast, "fell": next_obs["terminated"].float(), "room": next_obs["room"]}

def episode(total, last, low, high, length):
    progress = total["speed"] / length
    success = (progress > 0.5) & (high["fell"] < 0.5)
    return success, progress
"""


def compiled(code: str, jail: Jail) -> RewardProgram:
    result = compile_reward(code, INTERFACE, jail)
    assert result.program is not None, result.findings
    return result.program


def rollout(steps: int, envs: int, seed: int = 0) -> tuple[dict, torch.Tensor, dict, torch.Tensor]:
    obs, action, after = transition(steps * envs, seed)
    unflat = lambda x: x.unflatten(0, (steps, envs))
    starts = torch.rand(steps, envs, generator=torch.Generator().manual_seed(seed)) > 0.7
    return {k: unflat(v) for k, v in obs.items()}, unflat(action), {k: unflat(v) for k, v in after.items()}, starts


# --- parameters and gradients --------------------------------------------------------------------------------------


def test_parameters_can_be_changed_and_are_differentiable(jail: Jail) -> None:
    program = compiled(BENIGN["docstring_and_parameters"], jail)
    obs, action, after = transition(7)
    default = program(obs, action, after).total
    assert torch.equal(program(obs, action, after, params=program.parameters).total, default)
    doubled = program(obs, action, after, params={"speed_weight": 2.0}).components["forward"]
    assert torch.equal(doubled, 2 * after["velocity"][:, 0])
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    after["height"].requires_grad_()
    total = program(obs, action, after, params={"speed_weight": weight}).total.sum()
    total.backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(after["velocity"][:, 0].sum().item(), rel=1e-6)
    assert after["height"].grad is not None and after["height"].grad.abs().sum() > 0


THRESHOLDS = {  # only ever compared with: piecewise constant
    "memory_once": {"limit"},
    "gymnasium_terms": {"z_min", "z_max"},
    "potential_with_docstring": {"radius"},
    "potential_of_a_sparse_goal": {"tol"},
}


@pytest.mark.parametrize(
    "name", [name for name, code in BENIGN.items() if "*, " in code and name != "float_of_a_parameter"]
)
def test_every_free_parameter_gets_a_gradient(name: str, jail: Jail) -> None:
    program = compiled(BENIGN[name], jail)
    free = [p for p in program.parameters if p not in program.structural]
    params = {p: torch.tensor(program.parameters[p], dtype=torch.float64, requires_grad=True) for p in free}
    obs, action, after = transition(64)
    out = program(obs, action, after, params=params)
    loss = out.total.sum() + sum(c.sum() for c in out.components.values() if c.requires_grad)
    loss = loss + program.potential(obs, params=params).sum()
    for parameter, grad in zip(free, torch.autograd.grad(loss, list(params.values()), allow_unused=True), strict=True):
        if parameter not in THRESHOLDS.get(name, ()):
            assert grad is not None and torch.isfinite(grad), parameter


def test_unknown_and_structural_parameters_cannot_be_set(jail: Jail) -> None:
    program = compiled(BENIGN["structural_parameter"], jail)
    frames = transition(3)
    with pytest.raises(UsageError, match="unknown parameter 'scal'; did you mean scale"):
        program(*frames, params={"scal": 1.0})
    with pytest.raises(UsageError, match="'power' shapes the graph"):
        program(*frames, params={"power": 1.0})


def test_calls_work_after_a_first_call_in_inference_mode(jail: Jail) -> None:
    program = compiled(BENIGN["lookup_table"].replace("value + moved", "value * next_obs['height'] + moved"), jail)
    frames = transition(3)
    with torch.inference_mode():
        expected = program(*frames).total.clone()
    frames[2]["height"].requires_grad_()
    total = program(*frames).total
    total.sum().backward()
    assert torch.equal(total.detach(), expected)


# --- rollouts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["docstring_and_parameters", "einsum_and_matmul", "text", "gather_rows", "masked_assignment"]
)
def test_a_rollout_is_its_steps(name: str, jail: Jail) -> None:
    program = compiled(BENIGN[name], jail)
    obs, action, after, starts = rollout(4, 3)
    result = program.over_rollout(obs, action, after, starts)
    assert result.memory is None and result.memory_before is None
    for t in range(4):
        row = program({k: v[t] for k, v in obs.items()}, action[t], {k: v[t] for k, v in after.items()})
        assert torch.equal(result.total[t], row.total)
        assert all(torch.equal(result.components[c][t], row.components[c]) for c in row.components)


@pytest.mark.parametrize(
    ("best", "total", "component", "remembers"),
    [
        ("torch.maximum(memory['best'], height)", "height", "height", False),
        ("torch.maximum(memory['best'], height)", "height - memory['best']", "height", True),
        ("torch.maximum(memory['best'], height)", "height", "0.0 * memory['best']", True),
        ("height", "best", "best", False),
    ],
)
def test_keeping_memory_is_not_remembering(best: str, total: str, component: str, remembers: bool, jail: Jail) -> None:
    code = f"""
def initial_memory(n):
    return {{"best": torch.zeros(n)}}

def compute_reward(obs, action, next_obs, memory):
    height = next_obs["height"]
    best = {best}
    return {total}, {{"part": {component}}}, {{"best": best}}
"""
    program = compiled(code, jail)
    assert program.uses_memory and program.remembers == remembers


@pytest.mark.parametrize("name", ["memory_sequence", "memory_once"])
@pytest.mark.parametrize(("steps", "envs"), [(1, 1), (9, 1), (1, 4), (12, 5)])
def test_memory_over_a_rollout_is_memory_step_by_step(name: str, steps: int, envs: int, jail: Jail) -> None:
    program = compiled(BENIGN[name], jail)
    obs, action, after, starts = rollout(steps, envs, seed=steps)
    fresh = program.initial_memory(envs, "cpu")
    memory = dict(fresh)
    result = program.over_rollout(obs, action, after, starts)
    assert result.memory_before is not None and result.memory is not None
    for t in range(steps):
        memory = {k: torch.where(starts[t].view(-1, *[1] * (v.dim() - 1)), fresh[k], v) for k, v in memory.items()}
        for key, value in memory.items():
            assert torch.equal(result.memory_before[key][t], value)
        row = program({k: v[t] for k, v in obs.items()}, action[t], {k: v[t] for k, v in after.items()}, memory=memory)
        assert row.memory is not None
        memory = row.memory
        assert torch.equal(result.total[t], row.total)
        assert all(torch.equal(result.components[c][t], row.components[c]) for c in row.components)
    assert all(torch.equal(result.memory[key], value) for key, value in memory.items())


def test_rollouts_continue_with_the_memory_they_left(jail: Jail) -> None:
    program = compiled(BENIGN["memory_sequence"], jail)
    obs, action, after, starts = rollout(10, 3, seed=5)
    whole = program.over_rollout(obs, action, after, starts)
    half = lambda d, s: {k: v[s] for k, v in d.items()}
    memory, totals = None, []
    for part in (slice(0, 4), slice(4, 10)):
        result = program.over_rollout(half(obs, part), action[part], half(after, part), starts[part], memory=memory)
        memory = result.memory
        totals.append(result.total)
    assert torch.equal(torch.cat(totals), whole.total)


def test_what_does_not_depend_on_memory_is_not_stepped(jail: Jail) -> None:
    program = compiled(BENIGN["memory_sequence"], jail)
    stepper = program._stepper
    assert len(stepper._step._steps) < len(program._whole._steps)
    assert len(stepper._once._steps) > 0


def test_memory_of_several_shapes_and_folded_batches(jail: Jail) -> None:
    code = """
def initial_memory(n):
    return {"last": torch.zeros(n, 3), "flag": torch.zeros(n, dtype=torch.bool), "row": torch.full((n, 2, 2), 0.5)}

def compute_reward(obs, action, next_obs, memory, *, decay=0.9):
    flat = next_obs["joints"].reshape(-1, 4).sum(dim=1).reshape(len(action), 2)
    last = decay * memory["last"] + next_obs["velocity"].T.T
    row = memory["row"] + flat.unsqueeze(1)
    flag = memory["flag"] | next_obs["contact"]
    total = last.sum(-1) + row.flatten(1).mean(-1) + flag
    return total, {"flag": flag}, {"last": last, "flag": flag, "row": row}
"""
    program = compiled(code, jail)
    assert program.memory_spec == {
        "last": ((3,), torch.float32), "flag": ((), torch.bool), "row": ((2, 2), torch.float32),
    }  # fmt: skip
    obs, action, after, starts = rollout(6, 4, seed=9)
    result = program.over_rollout(obs, action, after, starts)
    memory = fresh = program.initial_memory(4, "cpu")
    for t in range(6):
        memory = {k: torch.where(starts[t].view(-1, *[1] * (v.dim() - 1)), fresh[k], v) for k, v in memory.items()}
        row = program({k: v[t] for k, v in obs.items()}, action[t], {k: v[t] for k, v in after.items()}, memory=memory)
        assert row.memory is not None
        memory = row.memory
        assert torch.equal(result.total[t], row.total)


def test_without_potential_it_is_zero(jail: Jail) -> None:
    program = compiled(BENIGN["text"], jail)
    assert not program.has_potential
    assert torch.equal(program.potential(transition(4)[0]), torch.zeros(4))


def test_indices_out_of_range_are_clamped_not_fatal(jail: Jail) -> None:
    program = compiled(BENIGN["lookup_table"], jail)
    obs, action, after = transition(3)
    after["room"] = torch.tensor([99, -99, 4])
    assert torch.equal(program(obs, action, after).components["value"], torch.tensor([3.0, 0.0, 3.0]))


def test_zero_rows(jail: Jail) -> None:
    for name in ("docstring_and_parameters", "einsum_and_matmul", "one_hot", "text"):
        assert compiled(BENIGN[name], jail)(*transition(0)).total.shape == (0,)


# --- goals ---------------------------------------------------------------------------------------------------------


def test_goal_program(jail: Jail) -> None:
    result = compile_goal(GOAL, INTERFACE, jail)
    assert result.program is not None, result.findings
    goal = result.program
    obs, action, after = transition(6)
    quantities = goal.step(obs, action, after)
    assert set(quantities) == set(goal.names) == {"speed", "fell", "room"}
    assert all(value.shape == (6,) and value.dtype == torch.float32 for value in quantities.values())
    length = torch.full((6,), 2, dtype=torch.int64)
    progress, success = goal.episode(quantities, quantities, quantities, quantities, length)
    assert torch.equal(progress, quantities["speed"] / 2)
    assert torch.equal(success, ((progress > 0.5) & (quantities["fell"] < 0.5)).float())
    again = GoalProgram(parse_goal(goal.to_json(), INTERFACE))
    assert again.graph_id == goal.graph_id


# --- devices -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BENIGN)
def test_nothing_stays_on_the_cpu_when_inputs_are_on_a_gpu(name: str, jail: Jail) -> None:
    """Fake CUDA tensors refuse to meet CPU tensors just like real ones, and need no GPU."""
    program = compiled(BENIGN[name], jail)
    with FakeTensorMode():
        moved = [
            {k: torch.empty(v.shape, dtype=v.dtype, device="cuda") for k, v in frame.items()}
            for frame in (transition(5)[0], transition(5)[2])
        ]
        action = torch.empty((5, 2), device="cuda")
        out = program(moved[0], action, moved[1])
        values = [out.total, *out.components.values(), *(out.memory or {}).values()]
        if program.has_potential:
            values.append(program.potential(moved[0]))
    assert all(isinstance(value, FakeTensor) and value.device.type == "cuda" for value in values)
    assert program(*transition(5)).total.device.type == "cpu"  # and no fake tensor was kept


@pytest.mark.gpu
@pytest.mark.parametrize("name", BENIGN)
def test_gpu_agrees_with_cpu(name: str, jail: Jail) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    program = compiled(BENIGN[name], jail)
    obs, action, after = transition(33)
    there = lambda frame: {k: v.cuda() for k, v in frame.items()}
    expected, result = program(obs, action, after), program(there(obs), action.cuda(), there(after))
    torch.testing.assert_close(result.total.cpu(), expected.total, rtol=1e-5, atol=1e-6)


# --- inputs that the source does not spell out ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        "sum(v.sum(-1) for k, v in next_obs.items() if k in ('velocity', 'position'))",
        "sum(next_obs[k].sum(-1) for k in sorted(next_obs) if k.startswith('v') or k.startswith('p'))",
        "sum(dict(next_obs)[k].sum(-1) for k in ('velo' + 'city', f'{\"posi\"}tion'))",
        "sum({**next_obs}[k].sum(-1) for k in next_obs.keys() if k.endswith('ity') or k == 'position')",
        "(next_obs.get('velo' + 'city') + next_obs['position']).sum(-1) if 'height' in obs else None",
    ],
)
def test_features_may_be_named_in_any_way(expression: str, jail: Jail) -> None:
    program = compiled(f"def compute_reward(obs, action, next_obs):\n    return {expression}, {{}}\n", jail)
    frames = transition(5)
    expected = frames[2]["velocity"].sum(-1) + frames[2]["position"].sum(-1)
    torch.testing.assert_close(program(*frames).total, expected)
    assert set(program.unused_features) == {"height", "joints", "room", "contact", "message"}
