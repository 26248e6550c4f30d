"""Worlds on one device: mujoco-warp on warp's CPU device against MuJoCo's own physics, and what needs no device."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from rewardsmith.envs import resolve_env, warp_backend
from rewardsmith.envs.pack import Pack, bundled_packs
from rewardsmith.envs.physics import SCALABLE, BatchBackend, load_mujoco
from rewardsmith.envs.warp_backend import WarpBackend
from rewardsmith.envs.world import pick_device
from rewardsmith.errors import EnvironmentFault, MissingExtra
from rewardsmith.train import PpoConfig
from rewardsmith.train.ppo import PopulationPPO
from rewardsmith.types import Member
from tests.helpers.tiny_world import GoNear, Output

needs_warp = pytest.mark.skipif(find_spec("mujoco_warp") is None, reason="the gpu extra is not installed")
BACKENDS = {name: Pack(folder).file.env.backend for name, folder in bundled_packs().items()}
MUJOCO = [name for name, backend in BACKENDS.items() if backend == "mujoco"]
CLASSIC = [name for name, backend in BACKENDS.items() if backend == "torch"]
CPU = torch.device("cpu")


def seeds(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def actions(world: Any, rng: np.random.Generator, scale: float = 1.0) -> torch.Tensor:
    shape = (world.num_envs, *world.action.shape)
    return torch.from_numpy(scale * rng.uniform(world.action.low, world.action.high, shape).astype(np.float32))


def both(name: str, rows: int, **kwargs: Any) -> tuple[Any, Any]:
    """The pack's world on MuJoCo's own physics and on warp, started alike."""
    environment = resolve_env(name, kwargs=kwargs)
    worlds = environment.make_world(rows), environment.make_device_world(rows, device="cpu")
    for world in worlds:
        world.reset(np.arange(rows), np.arange(rows, dtype=np.uint64))
    return worlds


def started(name: str, *episodes: int, **options: Any) -> Any:
    world = resolve_env(name).make_device_world(len(episodes), device="cpu", **options)
    world.reset(np.arange(len(episodes)), seeds(*episodes))
    return world


@needs_warp
@pytest.mark.parametrize("name", MUJOCO)
def test_every_pack_shows_the_same_fields_observation_and_features(name):
    environment = resolve_env(name)
    own, warp = environment.make_world(2), environment.make_device_world(2, device="cpu")
    assert warp.obs.shape == own.obs.shape and warp.obs.dtype == own.obs.dtype == torch.float32
    fields, expected = warp.fields(), own.fields()
    assert {key: value.shape for key, value in fields.items()} == {key: value.shape for key, value in expected.items()}
    assert all(value.dtype == torch.float32 for value in fields.values())
    features, expected = warp.featurize(fields), own.featurize(expected)
    assert {key: (value.shape, value.dtype) for key, value in features.items()} == {
        key: (value.shape, value.dtype) for key, value in expected.items()
    }
    torch.testing.assert_close(warp.fields()["qpos"], own.fields()["qpos"].float())


@needs_warp
def test_without_contacts_fifty_steps_agree_to_float32():
    """Rows that end are reset in both, alone: the same start state from the same seed, and so on."""
    own, warp = both("inverted_pendulum", 4)
    rng, ends = np.random.default_rng(0), 0
    for t in range(50):
        action = actions(own, rng, 0.3)
        for world in (own, warp):
            world.step(action)
        for name in ("qpos", "qvel"):
            torch.testing.assert_close(warp.fields()[name], own.fields()[name].float(), rtol=1e-5, atol=2e-5)
        torch.testing.assert_close(warp.obs, own.obs, rtol=1e-5, atol=2e-5)
        assert torch.equal(warp.terminated, own.terminated) and not warp.diverged.any()
        assert torch.equal(warp.native_reward, own.native_reward)
        done = torch.nonzero(own.terminated)[:, 0].numpy()
        ends += len(done)
        for world in (own, warp):
            world.reset(done, (100 + t + done).astype(np.uint64))
        assert not warp.terminated.any()
        torch.testing.assert_close(warp.obs, own.obs, rtol=1e-5, atol=2e-5)
    assert ends > 0


@needs_warp
def test_with_contacts_the_first_steps_agree_and_later_ones_stay_finite():
    own, warp = both("half_cheetah", 4)
    rng = np.random.default_rng(1)
    for t in range(60):
        action = actions(own, rng)
        for world in (own, warp):
            world.step(action)
        if t < 10:
            torch.testing.assert_close(warp.obs, own.obs, rtol=1e-3, atol=2e-3)
            torch.testing.assert_close(warp.native_reward, own.native_reward, rtol=1e-3, atol=1e-3)
            for name, value in own.featurize(own.fields()).items():
                torch.testing.assert_close(warp.featurize(warp.fields())[name], value, rtol=1e-3, atol=2e-3)
    assert torch.isfinite(warp.obs).all() and not warp.diverged.any()


@needs_warp
def test_contacts_differ_only_in_how_friction_pyramids_are_turned():
    """Ant's legs meet the ground at an angle, where MuJoCo and warp point pyramids differently."""
    environment = resolve_env("ant")
    environment._model.opt.cone = load_mujoco().mjtCone.mjCONE_ELLIPTIC
    own, warp = environment.make_world(4), environment.make_device_world(4, device="cpu")
    rng = np.random.default_rng(0)
    for world in (own, warp):
        world.reset(np.arange(4), seeds(0, 1, 2, 3))
    strongest = 0.0
    for _ in range(12):
        action = actions(own, rng)
        for world in (own, warp):
            world.step(action)
        strongest = max(strongest, own.fields()["cfrc_ext"].abs().max().item())
        for name, value in own.fields().items():
            atol = 1e-3 * (strongest if name == "cfrc_ext" else 1.0)
            torch.testing.assert_close(warp.fields()[name], value.float(), rtol=1e-3, atol=atol)
    assert strongest > 10


def cheetahs(*names: str) -> tuple[BatchBackend, WarpBackend]:
    model = resolve_env("half_cheetah")._model
    return BatchBackend(model, 2, names), WarpBackend(model, 2, names, device=CPU)


@needs_warp
def test_derived_fields_are_those_of_mujoco():
    """Matrices are nine numbers; contact forces are measured after a step and zero after `forward`."""
    names = ("qpos", "xpos:torso", "xmat", "geom_xpos:ffoot", "qfrc_constraint", "cinert", "cfrc_ext")
    backends = cheetahs(*names)
    every = np.arange(2)
    for backend in backends:
        backend.reset(every)
        backend.set("qpos", every, torch.tensor([[0.0, -0.1, *[0.0] * 7], [1.0, 0.5, *[0.1] * 7]]).double())
        backend.forward(every)
        for _ in range(4):
            assert not backend.step(torch.full((2, 6), 0.5), 5).any()
    own, warp = backends
    for name in names:
        expected = own.view(name).float()
        scale = float(expected.abs().max())
        torch.testing.assert_close(warp.view(name), expected, rtol=0.0, atol=1e-4 * scale, msg=name)
    assert own.view("cfrc_ext")[0].abs().max() > 100
    warp.forward(np.array([0]))
    assert not warp.view("cfrc_ext")[0].any()


@needs_warp
def test_other_rows_are_not_touched_by_a_reset():
    """Their derived fields go on to belong to the state before the last substep, and their next step is the same."""
    names = ("qpos", "qvel", "xpos:torso")
    model = resolve_env("half_cheetah")._model
    crowd, alone = (WarpBackend(model, rows, names, device=CPU) for rows in (3, 1))
    row, push = np.array([1]), torch.linspace(-1, 1, 6)
    for backend, i in ((crowd, 1), (alone, 0)):
        backend.reset(np.arange(backend.num_envs))
        backend.forward(np.arange(backend.num_envs))
        backend.step(push.expand(backend.num_envs, -1), 5)
        assert backend.view("xpos:torso")[i].any()
    before = {name: crowd.view(name)[1].clone() for name in names}
    others = np.array([2, 0])
    crowd.reset(others)
    crowd.set("qvel", others, torch.ones(2, 9).double())
    crowd.forward(others)
    assert all(torch.equal(crowd.view(name)[1], value) for name, value in before.items())
    for backend in (crowd, alone):
        backend.step(push.expand(backend.num_envs, -1), 5)
    assert all(torch.equal(crowd.view(name)[1], alone.view(name)[0]) for name in names)
    crowd.forward(row)
    assert not torch.equal(crowd.view("xpos:torso")[1], alone.view("xpos:torso")[0])  # now of the last state


@needs_warp
def test_a_reset_row_is_a_new_one():
    """Nothing is left of an earlier episode, not even the solver's warm start."""
    used, fresh = started("half_cheetah", 1, 2), started("half_cheetah", 7, 9)
    rng = np.random.default_rng(0)
    for _ in range(5):
        used.step(actions(used, rng))
    used.reset(np.array([1, 0]), seeds(9, 7))
    assert torch.equal(used.obs, fresh.obs)
    for _ in range(5):
        action = actions(used, rng)
        for world in (used, fresh):
            world.step(action)
        assert torch.equal(used.obs, fresh.obs) and torch.equal(used.native_reward, fresh.native_reward)


@needs_warp
def test_restored_rows_continue_bit_exactly():
    """Saved in the middle of an episode, restored into other rows of another world."""
    world, other = started("half_cheetah", 5, 6, 7), started("half_cheetah", 50, 60)
    rng = np.random.default_rng(0)
    for _ in range(3):
        world.step(actions(world, rng))
    assert world.can_restore
    saved = world.get_state(np.array([0, 2]))
    other.step(actions(other, rng))
    other.set_state(np.array([1, 0]), saved)
    assert torch.equal(other.obs, world.obs[[2, 0]])
    for _ in range(5):
        action = actions(world, rng)
        world.step(action)
        other.step(action[[2, 0]])
        assert torch.equal(other.obs, world.obs[[2, 0]]) and torch.equal(other._t, world._t[[2, 0]])
        assert all(torch.equal(other.fields()[name], value[[2, 0]]) for name, value in world.fields().items())


@needs_warp
def test_recorded_steps_give_the_bits_of_launched_ones():
    worlds = [started("half_cheetah", 1, 2, captured=captured) for captured in (True, False)]
    rng = np.random.default_rng(0)
    for t in range(4):
        action = actions(worlds[0], rng)
        for world in worlds:
            world.step(action)
            if t == 1:
                world.reset(np.array([1]), seeds(9))
        assert torch.equal(worlds[0].obs, worlds[1].obs)
    assert set(worlds[0]._backend._graphs) == {("step", 5), ("forward", 0)} and not worlds[1]._backend._graphs


@needs_warp
def test_a_diverged_simulation_ends_its_row_only():
    """It is reported, keeps its last real state, and works again after a reset."""
    world, twin = started("half_cheetah", 1, 2, 3), started("half_cheetah", 1, 2, 3)
    rng = np.random.default_rng(0)
    world.fields()["qvel"][1] = 1e12
    broken, obs = {key: value[1].clone() for key, value in world.fields().items()}, world.obs[1].clone()
    for _ in range(3):
        action = actions(world, rng)
        for each in (world, twin):
            each.step(action)
        assert torch.equal(world.obs[[0, 2]], twin.obs[[0, 2]])
        assert world.diverged.tolist() == world.terminated.tolist() == [False, True, False]
        assert torch.isfinite(world.obs).all() and torch.equal(world.obs[1, :8], obs[:8])
        assert all(torch.equal(world.fields()[key][1], value) for key, value in broken.items())
    for each in (world, twin):
        each.reset(np.array([1]), seeds(5))
        each.step(action)
    assert not world.diverged.any() and torch.equal(world.obs, twin.obs)


@needs_warp
def test_a_contact_without_room_ends_its_row(monkeypatch):
    """Left out silently, the robot would sink into the ground."""
    monkeypatch.setattr(warp_backend, "_constraints", lambda model: 4)
    world = started("half_cheetah", 1, 2)
    world.fields()["qpos"][0, 1], world.fields()["qpos"][1, 1] = 5.0, -0.3
    world.step(torch.zeros(2, 6))
    assert world.diverged.tolist() == [False, True]


@needs_warp
def test_every_property_is_scaled_as_in_mujoco():
    ranges = {name: [0.6, 1.6] for name in SCALABLE}
    own, warp = both("half_cheetah", 3, randomize=ranges)
    _, usual = both("half_cheetah", 3)
    rng = np.random.default_rng(0)
    for t in range(8):
        action = actions(own, rng)
        for world in (own, warp, usual):
            world.step(action)
            if t == 3:
                world.reset(np.array([2, 0]), seeds(21, 20))
        torch.testing.assert_close(warp.obs, own.obs, rtol=1e-3, atol=2e-3)
    assert ((warp.obs - usual.obs).abs().amax(1) > 0.1).all()
    model, batch = warp._backend._m, own._backend._batch
    derived = ("body_subtreemass", "body_invweight0", "dof_invweight0", "actuator_acc0")
    fields = [field for fields in SCALABLE.values() for field in fields]
    for field in (*derived, *fields):
        got = getattr(model.opt if field.startswith("opt.") else model, field.removeprefix("opt.")).numpy()
        np.testing.assert_allclose(got, batch.expand(field), rtol=1e-4, atol=1e-5, err_msg=field)


@needs_warp
def test_a_snapshot_is_a_state_of_mujoco():
    mujoco = load_mujoco()
    own, warp = both("half_cheetah", 2)
    for world in (own, warp):
        world.step(torch.full((2, 6), 0.3))
    data = [mujoco.MjData(own._backend.model) for _ in range(2)]
    for world, one in zip((own, warp), data, strict=True):
        mujoco.mj_setState(own._backend.model, one, world._backend.snapshot(1), mujoco.mjtState.mjSTATE_INTEGRATION)
    assert data[0].time == pytest.approx(0.05) == data[1].time
    for field in ("qpos", "qvel", "ctrl"):
        np.testing.assert_allclose(getattr(data[1], field), getattr(data[0], field), rtol=1e-3, atol=1e-4)


class Balance(GoNear):
    def __call__(self, obs: Any, action: torch.Tensor, next_obs: Any, *, memory: Any = None) -> Output:
        level = torch.exp(-next_obs["pole_angle"].abs())
        return Output(level, {"level": level}, None)


@needs_warp
def test_a_population_trains_on_it():
    ppo = PpoConfig(env_steps=200, num_envs=4, rollout_steps=25, minibatch_size=50, epochs=2, hidden=(32,))
    members = [Member("a", 0), Member("a", 1)]
    world = resolve_env("inverted_pendulum").make_device_world(8, device="cpu")
    population = PopulationPPO(world, ppo, members, {"a": Balance()}, root=0)
    population.restart_episodes()
    start = population.net.flat.clone()
    for _ in range(2):
        population.iterate()
    assert population.env_steps == 200 and not population.failures
    assert torch.isfinite(population.net.flat).all() and (population.net.flat != start).any(1).all()
    assert all(0 < reward <= 1 for reward in population.last.reward)


@needs_warp
def test_pgs_is_replaced_in_warps_copy_of_the_model_only():
    mujoco = load_mujoco()
    environment = resolve_env("humanoid_standup")
    world = environment.make_device_world(1, device="cpu")
    assert world._backend._m.opt.solver == mujoco.mjtSolver.mjSOL_NEWTON
    assert environment._model.opt.solver == mujoco.mjtSolver.mjSOL_PGS


SENSING = """<mujoco>{option}<worldbody><body name="ball"><joint type="ball"/><geom size=".1"/><site name="s"/></body>
</worldbody><sensor><gyro name="turn" site="s"/><framepos name="where" objtype="site" objname="s"/></sensor></mujoco>"""


def sensing(option: str = "") -> Any:
    return load_mujoco().MjModel.from_xml_string(SENSING.format(option=option))


@needs_warp
def test_sensors_are_fields_by_name():
    backend = WarpBackend(sensing(), 3, ["qpos", "sensordata:where", "sensordata:turn", "xmat:ball"], device=CPU)
    assert {name: tuple(field.shape) for name, field in backend.fields().items()} == {
        "qpos": (3, 4),
        "sensordata:where": (3, 3),
        "sensordata:turn": (3, 3),
        "xmat:ball": (3, 9),
    }
    assert backend._derived["sensordata:where"].storage_offset() == 3  # behind the gyroscope's three numbers
    with pytest.raises(EnvironmentFault, match="no sensor 'smell'"):
        WarpBackend(sensing(), 3, ["sensordata:smell"], device=CPU)
    for name in ("qposs", "naconmax", "nacon"):  # no field, no array, not an array with a row for each simulation
        with pytest.raises(EnvironmentFault, match=f"no field '{name}'"):
            WarpBackend(sensing(), 3, [name], device=CPU)


@needs_warp
def test_a_model_that_warp_cannot_simulate_is_refused():
    with pytest.raises(EnvironmentFault, match=r"cannot simulate this model: .*FWDINV"):
        WarpBackend(sensing('<option><flag fwdinv="enable"/></option>'), 1, ["qpos"], device=CPU)


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco_warp", None)
    with pytest.raises(MissingExtra, match=r"rewardsmith\[gpu\]"):
        resolve_env("hopper").make_device_world(1, device="cpu")


@pytest.mark.parametrize("name", ["CartPole-v1", "lunar_lander"])
def test_environments_with_their_own_simulator_say_that_they_stay_on_the_cpu(name):
    with pytest.raises(EnvironmentFault, match="on the CPU only") as refusal:
        resolve_env(name).make_device_world(1, device="cpu")
    assert "pack" in refusal.value.hint


def test_devices_are_picked_by_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert pick_device("auto") == pick_device("cpu") == CPU
    with pytest.raises(EnvironmentFault, match="sees 0 CUDA devices"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda", 0)
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(EnvironmentFault, match="no cuda:2"):
        pick_device("cuda:2")
    for name in ("gpu", "meta", "cuda:x", ""):
        with pytest.raises(EnvironmentFault, match="no such device"):
            pick_device(name)


class Nowhere:
    """A `PhysicsBackend` without storage: on the meta device whatever waits for a number, or mixes devices, raises."""

    exact = False
    device = torch.device("meta")

    def __init__(self, model: Any, num_envs: int, names: list[str]) -> None:
        self.model, self.num_envs = model, num_envs
        shown = BatchBackend(model, num_envs, names).fields()
        self._fields = {name: field.float().to("meta") for name, field in shown.items()}

    def fields(self) -> dict[str, torch.Tensor]:
        return self._fields

    def view(self, name: str) -> torch.Tensor:
        return self._fields[name]

    def set(self, name: str, ids: np.ndarray, values: torch.Tensor) -> None:
        assert values.shape == (len(ids), *self._fields[name].shape[1:]) and values.device == self.device

    def step(self, ctrl: torch.Tensor, nstep: int) -> torch.Tensor:
        return torch.zeros(self.num_envs, dtype=torch.bool, device="meta")

    def reset(self, ids: np.ndarray) -> None: ...

    def forward(self, ids: np.ndarray) -> None: ...


@pytest.mark.parametrize("name", [*MUJOCO, *CLASSIC])
def test_a_step_stays_on_its_device_and_waits_for_nothing(name):
    """Steps, resets, features and metric of every pack, with all tensors on a device from which nothing can be read."""
    environment = resolve_env(name)
    if name in MUJOCO:
        world = environment._mujoco_world(lambda fields: Nowhere(environment._model, 3, fields))
    else:
        world = environment._torch_world(3, torch.device("meta"))
    world.reset(np.array([2, 0]), seeds(1, 2))
    spec = world.action
    shape, dtype = (3, *spec.shape), torch.int64 if spec.kind == "discrete" else torch.float32
    action = torch.zeros(shape, dtype=dtype, device="meta")
    world.step(action)
    tensors = [world.obs, world.terminated, world.truncated, world.diverged, world.native_reward]
    assert all(tensor.is_meta for tensor in (*tensors, *world.fields().values()))
    features = world.featurize(world.fields())
    assert {spec.name: spec.shape for spec in environment.interface.features} == {
        key: tuple(value.shape[1:]) for key, value in features.items()
    }
    assert all(value.is_meta for value in features.values())
    metric = environment.metric()
    values = metric.step(
        features, features, action=action, native_reward=world.native_reward, terminated=world.terminated
    )
    scores = metric.episode(values, values, values, values, world._t.double())
    assert all(score.is_meta and score.shape == (3,) for score in scores)


@pytest.mark.parametrize("name", CLASSIC)
def test_classic_control_needs_no_simulator(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco_warp", None)
    environment = resolve_env(name)
    world, device_world = environment.make_world(2), environment.make_device_world(2, device="cpu")
    for each in (world, device_world):
        each.reset(np.arange(2), seeds(1, 2))
        each.step(torch.ones(2, *each.action.shape, dtype=torch.int64 if name == "cartpole" else torch.float32))
    assert torch.equal(world.obs, device_world.obs)
