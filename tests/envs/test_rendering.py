"""Pictures: from every kind of world, without a display, and without touching the physics."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch

from rewardsmith.envs import can_render, rendering, resolve_env
from rewardsmith.envs.physics import load_mujoco
from rewardsmith.envs.rendering import MujocoCamera, _mjv_camera
from rewardsmith.envs.sketch import SKY, MujocoSketch
from rewardsmith.errors import EnvironmentFault
from tests.envs import toys
from tests.envs.packs import pack

MODULE = toys.__name__
needs_gl = pytest.mark.skipif(bool(can_render()), reason=f"no OpenGL: {can_render()}")


def started(name, rows=1):
    world = resolve_env(name).make_world(rows)
    world.reset(np.arange(rows), np.arange(rows, dtype=np.uint64))
    return world


@pytest.fixture(params=[pytest.param("opengl", marks=needs_gl), "sketch"])
def _drawn(request, monkeypatch) -> None:
    """With OpenGL, and as where there is none."""
    if request.param == "sketch":
        monkeypatch.setattr(rendering, "gl_backend", lambda: None)


@pytest.mark.usefixtures("_drawn")
@pytest.mark.parametrize("name", ["hopper", "reacher", "half_cheetah", "ant", "Ant-v5", pack("fetch_push")])
def test_mujoco_worlds_draw(name):
    world = started(name, 2)
    frame = world.render(1, size=128)
    assert frame.shape == (128, 128, 3) and frame.dtype == np.uint8
    assert frame.std() > 5
    assert np.array_equal(frame, world.render(1, size=128))
    assert not np.array_equal(frame, world.render(0, size=128))
    assert world.render(1, size=64).shape == (64, 64, 3)
    twin = started(name, 2)
    for _ in range(3):
        for each in (world, twin):
            each.step(torch.zeros(2, *world.action.shape))
        world.render(0, size=64)
    assert torch.equal(world.obs, twin.obs)


@pytest.mark.usefixtures("_drawn")
@pytest.mark.parametrize("name", [pack("fetch_reach")])
def test_the_goal_is_marked_where_it_is(name):
    """Two goals in one and the same state of the arm make two pictures, and no difference to the simulation."""
    world = started(name)
    env = world._envs[0].unwrapped
    pictures = []
    for goal in ((1.3, 0.7, 0.6), (1.4, 0.9, 0.7)):
        env.goal[:] = goal
        pictures.append(world.render(size=128))
    assert not np.array_equal(*pictures)
    site = env.model.site("target0")
    assert env.data.xpos[env.model.site_bodyid[site.id]] + site.pos == pytest.approx(goal)


@pytest.mark.usefixtures("_drawn")
def test_the_picture_follows_the_robot():
    """Far down the track the hopper is still in the middle."""
    world = started("hopper")
    state = world.get_state(np.array([0]))
    near = world.render(size=64).astype(float)
    state["physics"][0, 1] += 10.0  # time, then the torso's x
    world.set_state(np.array([0]), state)
    far = world.render(size=64).astype(float)
    robot = near[20:44, 28:36]
    assert np.abs(far[20:44, 28:36] - robot).mean() < 0.5 * np.abs(robot - near[20:44, :8].mean()).mean()


@pytest.mark.parametrize("name", ["lunar_lander", "mountain_car_continuous", "CartPole-v1", "cartpole", "pendulum"])
def test_flat_worlds_draw_without_a_display_and_without_changing_the_physics(name):
    world, twin = started(name), started(name)
    for t in range(30):
        action = torch.full((1, *world.action.shape), 2 if name == "lunar_lander" else 1)
        action = action.to(getattr(torch, world.action.dtype))
        for each in (world, twin):
            each.step(action)
        if t % 10 == 0:
            frame = world.render(size=120)
            assert frame.dtype == np.uint8 and frame.shape[2] == 3
            assert max(frame.shape) == 120 and frame.shape[0] % 2 == frame.shape[1] % 2 == 0
            assert frame.std() > 5
        assert torch.equal(world.obs, twin.obs)
        if world.terminated[0]:
            break


def test_what_cannot_draw_says_so():
    with pytest.raises(EnvironmentFault, match="it offers ansi"):
        started(f"{MODULE}:ToyNoDrawing-v0").render()
    world = started(f"{MODULE}:ToyWalk-v0")
    assert world.render(size=60).shape == (40, 60, 3)
    world._envs[0].render = lambda: 1 / 0
    with pytest.raises(EnvironmentFault, match="failed to draw: ZeroDivisionError"):
        world.render()


@needs_gl
@pytest.mark.parametrize("name", ["hopper", "ant", "reacher", "humanoid", "pusher"])
def test_a_sketch_shows_the_robot_where_opengl_does(name: str) -> None:
    """The pixels that OpenGL gives to some part, the ground left out, against those that the sketch fills."""
    mujoco, world = load_mujoco(), started(name)
    for _ in range(8):
        world.step(torch.ones(1, *world.action.shape))
    backend, settings = world._backend, resolve_env(name).pack.file.camera.model_dump()
    model, camera, state = backend.model, _mjv_camera(backend.model, **settings), backend.snapshot(0)
    drawn = MujocoCamera(copy.copy(model), camera=camera, size=256)
    for flag in ("mjRND_SEGMENT", "mjRND_IDCOLOR"):
        drawn._scene.flags[getattr(mujoco.mjtRndFlag, flag)] = 1
    pixels = drawn.draw(state).astype(np.int64)
    part = pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2] - 1
    geoms = drawn._scene.geoms[: drawn._scene.ngeom]
    solid = [int(g.type) != int(mujoco.mjtGeom.mjGEOM_PLANE) for g in geoms]
    there = np.array([*solid, False])[part]
    sketch = MujocoSketch(copy.copy(model), camera=camera, size=256).draw(state).astype(np.int64)
    here = np.abs(sketch - SKY).sum(2) > 80
    assert there.sum() > 100
    assert (there & here).sum() / (there | here).sum() > 0.75


def test_without_opengl_pictures_are_sketches_and_the_fix_is_named(monkeypatch):
    monkeypatch.setattr(rendering, "gl_backend", lambda: None)
    assert "sketches" in can_render() and "libosmesa6" in can_render()
    assert started("hopper").render(size=64).std() > 5


def test_mujoco_gl_is_respected(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    rendering.gl_backend.cache_clear()
    assert can_render()
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    rendering.gl_backend.cache_clear()
    asked = []
    monkeypatch.setattr(rendering, "_works", lambda gl: asked.append(gl) or False)
    assert can_render() and asked == ["osmesa"]
    rendering.gl_backend.cache_clear()


@pytest.mark.parametrize(
    ("shape", "size", "wanted"),
    [((400, 600, 3), 256, (170, 256, 3)), ((10, 10, 3), 10, (10, 10, 3)), ((3, 300, 4), 100, (2, 100, 3))],
)
def test_resize_keeps_the_aspect_and_even_sides(shape, size, wanted):
    frame = np.full(shape, 9, np.uint8)
    small = rendering.resize(frame, size)
    assert small.shape == wanted and (small == 9).all()


@pytest.mark.slow
@needs_gl
def test_drawing_works_after_mujoco_was_imported_without_a_backend(tmp_path):
    code = (
        "import mujoco, numpy as np\nfrom rewardsmith.envs import resolve_env\n"
        "w = resolve_env('hopper').make_world(1); w.reset(np.array([0]), np.array([1], dtype=np.uint64))\n"
        "assert w.render(size=32).std() > 5\nprint('drawn')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "drawn\n", done.stderr
