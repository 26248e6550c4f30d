"""An exported folder pays the same rewards as rewardsmith, without rewardsmith."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rewardsmith.envs import Environment, resolve_env
from rewardsmith.errors import EnvironmentFault, RewardRefused, UsageError
from rewardsmith.export import export_reward
from rewardsmith.export.standalone import standalone_files
from rewardsmith.reward import graph as graph_format
from rewardsmith.reward import ops
from rewardsmith.reward.compile import compile_reward
from rewardsmith.reward.program import RewardProgram

RUNNER = Path(__file__).with_name("run_exported.py")
STEPS = 60

WITH_MEMORY = '''
def initial_memory(n):
    return {"best": torch.full((n,), -1.0), "count": torch.zeros((n, 2))}

def compute_reward(obs, action, next_obs, memory, *, bonus=2.0, price=0.1):
    """Pay for every new best forward position, once."""
    x = next_obs["torso_x"]
    new = (x > memory["best"]).float()
    best = torch.maximum(memory["best"], x)
    effort = price * action.square().sum(-1)
    count = memory["count"] + torch.stack([new, 1.0 - new], dim=-1)
    return bonus * new - effort, {"new": new, "effort": effort}, {"best": best, "count": count}

def potential(obs, *, height_weight=0.5):
    return height_weight * obs["torso_height"]
'''
VARIED = '''
def compute_reward(obs, action, next_obs, *, speed_weight=0.3, temperature=0.5):
    """Many kinds of operations."""
    table = torch.tensor([0.0, 0.5, -0.25, float("inf")])
    per_action = table[action.clamp(0, 2)]
    before = torch.linalg.norm(obs["position"], dim=-1)
    after = torch.linalg.norm(next_obs["position"], dim=-1)
    progress = (before - after) / temperature
    soft = -speed_weight * torch.exp(-after) * next_obs["velocity"].abs().amax(-1)
    both = next_obs["leg_contact"].all(-1).float()
    ranked = torch.sort(next_obs["velocity"], dim=-1).values[:, 0].clamp(-1, 1)
    end = torch.where(next_obs["terminated"], torch.where(next_obs["crashed"], -1.0, 1.0), 0.0)
    parts = {"progress": progress, "soft": soft, "both": both, "ranked": ranked, "end": end, "act": per_action}
    return torch.stack(list(parts.values())).sum(0), parts
'''


def compiled(code: str, environment: Environment, jail) -> RewardProgram:
    result = compile_reward(code, environment.interface, jail)
    assert result.program is not None, result.findings
    return result.program


def transitions(program: RewardProgram, environment: Environment, n: int = 64) -> dict[str, torch.Tensor]:
    """Random ones, some far out."""
    rng = torch.Generator().manual_seed(5)

    def value(shape, dtype):
        if dtype in ("bool", "uint8"):
            return torch.randint(0, 2, (n, *shape), generator=rng).to(getattr(torch, dtype))
        if dtype == "int64":
            return torch.randint(0, 4, (n, *shape), generator=rng)
        return torch.randn(n, *shape, generator=rng) * torch.logspace(-2, 2, n).reshape(-1, *[1] * len(shape))

    out = {}
    for frame in ("obs", "next_obs"):
        out |= {f"{frame}.{f.name}": value(f.shape, f.dtype) for f in environment.interface.features}
    out["next_obs.terminated"] = value((), "bool")
    out["action"] = value(environment.interface.action.shape, environment.interface.action.dtype)
    out |= {f"memory.{name}": value(shape, "float32") for name, (shape, _) in program.memory_spec.items()}
    return out


def run_folder(folder: Path, given: dict[str, torch.Tensor], tmp_path: Path) -> dict[str, np.ndarray]:
    np.savez(tmp_path / "in.npz", **{name: value.numpy() for name, value in given.items()})
    arguments = [str(folder), str(tmp_path / "in.npz"), str(tmp_path / "out.npz"), str(STEPS)]
    command = [sys.executable, "-I", str(RUNNER), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(tmp_path / "out.npz"))


def played_here(environment: Environment, program: RewardProgram, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same episode in rewardsmith's own world: (observations, rewards)."""
    world = environment.make_world(1)
    world.reset(np.array([0]), np.array([11], dtype=np.uint64))
    gamma = environment.training.gamma
    memory = program.initial_memory(1, "cpu")
    before = {k: v.clone() for k, v in world.featurize(world.fields()).items()}
    observations, rewards = [], []
    for raw in actions:
        action = torch.as_tensor(raw)[None]
        world.step(action)
        after = {k: v.clone() for k, v in world.featurize(world.fields()).items()}
        out = program(before, action, {**after, "terminated": world.terminated.clone()}, memory=memory or None)
        reward = float(out.total)
        if program.has_potential:
            ahead = 0.0 if bool(world.terminated) else gamma * float(program.potential(after))
            reward += ahead - float(program.potential(before))
        memory = out.memory or {}
        flat = [memory[name].reshape(-1).float() for name in sorted(memory)]
        observations.append(torch.cat([world.obs[0], *flat]).numpy().copy())
        rewards.append(reward)
        before = after
    world.close()
    return np.array(observations), np.array(rewards)


needs_robotics = pytest.mark.skipif(
    importlib.util.find_spec("gymnasium_robotics") is None, reason="gymnasium_robotics is not installed"
)
CASES = [
    ("hopper", WITH_MEMORY),
    ("lunar_lander", VARIED),
    pytest.param("hopper", "human", marks=pytest.mark.slow),
    pytest.param("lunar_lander", "human", marks=pytest.mark.slow),
    pytest.param("reacher", "human", marks=pytest.mark.slow),
    pytest.param("mountain_car_continuous", "human", marks=pytest.mark.slow),
    pytest.param("half_cheetah", "human", marks=pytest.mark.slow),
    pytest.param("ant", "human", marks=pytest.mark.slow),
    pytest.param("cartpole", "sparse", marks=pytest.mark.slow),
    pytest.param("fetch_push", "human", marks=[pytest.mark.slow, needs_robotics]),
    pytest.param("ant", "human", marks=pytest.mark.slow),
    pytest.param("cartpole", "human", marks=pytest.mark.slow),
    pytest.param("pendulum", "human", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "code"), CASES, ids=lambda value: value.split("\n")[0] or "own")
def test_the_folder_pays_the_same(name, code, jail, tmp_path):
    environment = resolve_env(name)
    source = environment.reference_rewards.get(code, code)
    program = compiled(source, environment, jail)
    folder = export_reward(program.to_json(), source, environment.interface, environment, None, tmp_path / "out")
    given = transitions(program, environment)
    got = run_folder(folder, given, tmp_path)

    parts = {p: {k[len(p) :]: v for k, v in given.items() if k.startswith(p)} for p in ("obs.", "next_obs.", "memory.")}
    wanted = program(parts["obs."], given["action"], parts["next_obs."], memory=parts["memory."] or None)
    np.testing.assert_array_equal(got["total"], wanted.total.numpy())
    for component, value in wanted.components.items():
        np.testing.assert_array_equal(got[f"component.{component}"], value.numpy())
    for entry, value in (wanted.memory or {}).items():
        np.testing.assert_array_equal(got[f"memory.{entry}"], value.numpy())
    np.testing.assert_array_equal(got["potential"], program.potential(parts["obs."]).numpy())

    observations, rewards = played_here(environment, program, got["played_actions"])
    np.testing.assert_allclose(got["played_rewards"], rewards, rtol=1e-6, atol=1e-6)
    if got["played_obs"].size:  # dictionaries are not written down
        np.testing.assert_allclose(got["played_obs"].astype(np.float64), observations, rtol=1e-6, atol=1e-6)
    if code == "human":
        np.testing.assert_allclose(got["played_rewards"], got["played_native"], rtol=1e-5, atol=1e-5)


def everything(environment: Environment) -> str:
    """A reward that reads every feature."""
    terms = [
        f'next_obs["{f.name}"].reshape(-1, {int(np.prod(f.shape))}).float().mean(-1)'
        + f' - 0.5 * obs["{f.name}"].reshape(-1, {int(np.prod(f.shape))}).float().mean(-1)'
        for f in environment.interface.features
    ]
    total = " + ".join(terms)
    return f"def compute_reward(obs, action, next_obs):\n    total = {total}\n    return total, {{'all': total}}\n"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("InvertedPendulum-v5", marks=pytest.mark.slow),
        pytest.param("CartPole-v1", marks=pytest.mark.slow),
        pytest.param("FrozenLake-v1", marks=pytest.mark.slow),
        pytest.param("Blackjack-v1", marks=pytest.mark.slow),
    ],
)
def test_environments_without_a_pack(name, jail, tmp_path):
    environment = resolve_env(name)
    source = everything(environment)
    program = compiled(source, environment, jail)
    folder = export_reward(program.to_json(), source, environment.interface, environment, None, tmp_path / "out")
    got = run_folder(folder, transitions(program, environment), tmp_path)
    assert len(got["played_rewards"]) > 0
    _, rewards = played_here(environment, program, got["played_actions"])
    np.testing.assert_allclose(got["played_rewards"], rewards, rtol=1e-6, atol=1e-6)


# --- the folder ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hopper():
    return resolve_env("hopper")


@pytest.fixture(scope="module")
def exported(jail, hopper, tmp_path_factory) -> tuple[Path, RewardProgram]:
    program = compiled(WITH_MEMORY, hopper, jail)
    out = tmp_path_factory.mktemp("exported") / "folder"
    export_reward(program.to_json(), WITH_MEMORY, hopper.interface, hopper, None, out, about="Hop\n<b>far</b>.")
    return out, program


@pytest.fixture(scope="module")
def interpreter(exported):
    spec = importlib.util.spec_from_file_location("exported_interpreter", exported[0] / "interpreter.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_file_names_rewardsmith_as_an_import(exported):
    for path in exported[0].glob("*.py"):
        if path.name != "reward.py":
            text = path.read_text()
            assert "import rewardsmith" not in text
            assert "from rewardsmith" not in text
            compile(text, path.name, "exec")
    assert (exported[0] / "reward.py").read_text().strip() == WITH_MEMORY.strip()
    for path in exported[0].glob("*.py"):
        assert "import reward\n" not in path.read_text()


def test_the_readme_says_what_there_is(exported):
    text = (exported[0] / "README.md").read_text()
    for expected in (
        "> Hop <b>far</b>.",
        "`bonus`",
        "2.0",
        "memory",
        "3 numbers",
        "potential",
        "reward.py",
        "Hopper-v5",
    ):
        assert expected in text
    assert "policy.safetensors" not in text


def test_the_tables_agree_with_the_loader_of_rewardsmith(interpreter):
    assert interpreter.ALLOWED == ops.ALLOWED
    assert interpreter.SIZE_TAKING == ops.SIZE_TAKING
    assert interpreter.DTYPES == ops.DTYPES
    assert interpreter.VERSION == graph_format.FORMAT_VERSION
    assert interpreter.MAX_NODES == graph_format.MAX_NODES
    assert interpreter.MAX_CONSTANT_ELEMENTS == graph_format.MAX_CONSTANT_ELEMENTS


def test_parameters_can_be_changed(interpreter, exported):
    folder, program = exported
    graph = json.loads((folder / "graph.json").read_text())
    reward = interpreter.ExportedReward(graph, params={"bonus": 7.0})
    environment = resolve_env("hopper")
    given = transitions(program, environment, 8)
    obs = {k[4:]: v for k, v in given.items() if k.startswith("obs.")}
    after = {k[9:]: v for k, v in given.items() if k.startswith("next_obs.")}
    wanted = program(obs, given["action"], after, params={"bonus": 7.0}).total
    torch.testing.assert_close(reward(obs, given["action"], after).total, wanted, rtol=0, atol=0)
    with pytest.raises(interpreter.GraphError, match="bonus, height_weight, price"):
        interpreter.ExportedReward(graph, params={"bonsu": 1.0})


def first_node(graph: dict, op: str, **changes) -> None:
    node = next(n for n in graph["reward"]["nodes"] if n["op"].startswith(op))
    node.update(changes)


TAMPERED = {
    "version": lambda g: g.update(version=99),
    "op": lambda g: g["reward"]["nodes"][0].update(op="aten.normal.default"),
    "op of another library": lambda g: g["reward"]["nodes"][0].update(op="os.system.default"),
    "op that is no text": lambda g: g["reward"]["nodes"][0].update(op=["aten"]),
    "forward reference": lambda g: g["reward"]["nodes"][0].update(args=[{"ref": 999}]),
    "negative reference": lambda g: g["reward"]["nodes"][0].update(args=[{"ref": -1}]),
    "text argument": lambda g: g["reward"]["nodes"][0]["args"].append("__import__"),
    "unknown tag": lambda g: g["reward"]["nodes"][0]["args"].append({"file": "/etc/passwd"}),
    "two tags": lambda g: g["reward"]["nodes"][0]["args"].append({"ref": 0, "dtype": "float32"}),
    "device": lambda g: g["reward"]["nodes"][0]["kwargs"].update(device={"device": "cuda:9"}),
    "source": lambda g: g["reward"]["inputs"][0].update(source="files"),
    "output": lambda g: g["reward"]["outputs"].update(total=10_000),
    "no total": lambda g: g["reward"]["outputs"].pop("total"),
    "no memory output": lambda g: g["reward"]["outputs"].pop("memory.best"),
    "huge": lambda g: g["reward"]["nodes"].insert(
        0, {"op": "aten.zeros.default", "args": [[2**20, 2**20]], "kwargs": {}}
    ),
    "too many nodes": lambda g: g["reward"].update(nodes=g["reward"]["nodes"] * 1000),
    "missing key": lambda g: g.pop("reward"),
    "constant": lambda g: g["reward"]["constants"].append({"shape": [2], "dtype": "float32", "data": [1.0]}),
    "constant of text": lambda g: g["reward"]["constants"].append({"shape": [1], "dtype": "float32", "data": ["x"]}),
}  # fmt: skip


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
def test_a_changed_graph_is_refused(change, interpreter, exported):
    graph = json.loads((exported[0] / "graph.json").read_text())
    change(graph)
    with pytest.raises(interpreter.GraphError):
        interpreter.ExportedReward(graph)


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"', "null", "[" * 100_000])
def test_what_is_no_graph_is_refused(text, interpreter, tmp_path):
    path = tmp_path / "graph.json"
    path.write_text(text)
    with pytest.raises(interpreter.GraphError):
        interpreter.ExportedReward.load(path)


# --- faults --------------------------------------------------------------------------------------------------------


def test_what_is_in_the_way_is_left_alone(exported, hopper, tmp_path):
    _, program = exported
    (tmp_path / "mine").write_text("mine")
    for out in (tmp_path, tmp_path / "mine"):
        with pytest.raises(UsageError, match="in the way"):
            export_reward(program.to_json(), "x", hopper.interface, hopper, None, out)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    (tmp_path / "empty").mkdir()
    assert export_reward(program.to_json(), "x", hopper.interface, hopper, None, tmp_path / "empty").is_dir()


def test_faults_are_named_and_leave_nothing_behind(exported, hopper, tmp_path):
    _, program = exported
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="no policy"):
        export_reward(program.to_json(), "x", hopper.interface, hopper, tmp_path / "none", out)
    with pytest.raises(RewardRefused):
        export_reward("{}", "x", hopper.interface, hopper, None, out)
    with pytest.raises(UsageError, match="other features"):
        export_reward(program.to_json(), "x", hopper.interface, resolve_env("reacher"), None, out)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="could not be written"):
        export_reward(program.to_json(), "x", hopper.interface, hopper, None, tmp_path / "file" / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_feature_code_that_needs_rewardsmith_is_refused():
    for line in (
        "import rewardsmith.types",
        "from rewardsmith.types import Goal",
        "from rewardsmith.envs import resolve_env",
    ):
        with pytest.raises(EnvironmentFault, match="cannot be exported"):
            standalone_files(f"import torch\n{line}\n", "pack/features.py")


def test_imports_are_replaced_wherever_they_stand():
    code = (
        "from rewardsmith.types import (\n    FeatureSpec as Spec,\n)\n\ndef f():\n"
        "    from rewardsmith.envs.planar import reach\n    return reach, Spec\n"
    )
    files = standalone_files(code, "features.py")
    assert set(files) == {"pack_features.py", "feature_types.py", "planar.py"}
    text = files["pack_features.py"]
    assert "from feature_types import FeatureSpec as Spec\n" in text
    assert "    from planar import reach\n" in text
    assert "rewardsmith" not in text
