"""Pictures without a display: MuJoCo through EGL or OSMesa, or sketched where neither works; the rest through pygame.

Nothing here is touched until the first picture is asked for; `MUJOCO_GL` set by the person is respected.
"""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from rewardsmith.envs.physics import load_mujoco
from rewardsmith.envs.sketch import MujocoSketch
from rewardsmith.errors import EnvironmentFault

_PROBE = "from mujoco.{gl} import GLContext; c = GLContext(16, 16); c.make_current(); c.free(); print('works')"
_FIX = "install libosmesa6 (Debian: apt-get install libosmesa6), or set MUJOCO_GL to a backend that works"


@functools.cache
def gl_backend() -> str | None:
    """Which OpenGL backend MuJoCo can draw with here: MUJOCO_GL if set, else egl or osmesa if it works, else None.

    Each candidate is tried in a process of its own, since a broken driver may crash.
    """
    chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
    if chosen in ("disable", "disabled", "off", "false", "0"):
        return None
    if sys.platform == "darwin":
        candidates = ["cgl"]
    elif sys.platform == "win32":
        candidates = ["glfw"]
    else:
        candidates = ["egl", "osmesa", *(["glfw"] if os.environ.get("DISPLAY") else [])]
    if chosen in ("egl", "osmesa", "glfw", "cgl"):
        candidates = [chosen]
    return next((gl for gl in candidates if _works(gl)), None)


def _works(gl: str) -> bool:
    environment = {**os.environ, "MUJOCO_GL": gl}
    if gl in ("egl", "osmesa"):
        environment["PYOPENGL_PLATFORM"] = gl
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE.format(gl=gl)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "works" in done.stdout


def can_render() -> str:
    """Empty when MuJoCo can draw here, else what is wrong and how to put it right; pictures are sketches then."""
    return "" if gl_backend() else f"MuJoCo's pictures are plain sketches: neither EGL nor OSMesa works; {_FIX}"


class MujocoCamera:
    """Draws states of one model. Shadows, reflections and multisampling are off: 20 to 45 times faster in software."""

    def __init__(self, model: Any, *, camera: Any, size: int) -> None:
        """Raises: EnvironmentFault: no OpenGL backend works here.

        Args:
            model: the MjModel; its visual settings are changed, its physics is not.
            camera: an MjvCamera.
        """
        mujoco = load_mujoco()
        gl = gl_backend()
        if gl is None:
            raise EnvironmentFault("MuJoCo cannot draw here: neither EGL nor OSMesa works", hint=_FIX)
        os.environ.setdefault("MUJOCO_GL", gl)
        if gl in ("egl", "osmesa"):
            os.environ.setdefault("PYOPENGL_PLATFORM", gl)
        try:
            context = importlib.import_module(f"mujoco.{gl}").GLContext
            self._gl = context(size, size)
        except Exception as error:  # a boundary: OpenGL raises whatever it likes
            raise EnvironmentFault(
                f"MuJoCo cannot draw with {gl}: {type(error).__name__}: {error}", hint=_FIX
            ) from error
        self._gl.make_current()
        self._mujoco = mujoco
        model.vis.quality.offsamples = 0
        model.vis.global_.offwidth = max(size, model.vis.global_.offwidth)
        model.vis.global_.offheight = max(size, model.vis.global_.offheight)
        model.light_castshadow[:] = 0
        model.mat_reflectance[:] = 0
        self._model, self._data, self._camera, self.size = model, mujoco.MjData(model), camera, size
        self._scene = mujoco.MjvScene(model, maxgeom=2000)
        self._options = mujoco.MjvOption()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)

    def move_sites(self, positions: np.ndarray) -> None:
        """Put the model's sites, which may mark goals, at `positions` (sites, 3) in their bodies' frames."""
        self._model.site_pos[:] = positions

    def draw(self, state: np.ndarray) -> np.ndarray:
        """(size, size, 3) uint8 from an integration state (n,)."""
        mujoco = self._mujoco
        self._gl.make_current()
        mujoco.mj_setState(self._model, self._data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(self._model, self._data)
        mujoco.mjv_updateScene(
            self._model, self._data, self._options, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        viewport = mujoco.MjrRect(0, 0, self.size, self.size)
        mujoco.mjr_render(viewport, self._scene, self._context)
        pixels = np.empty((self.size, self.size, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, viewport, self._context)
        return np.flipud(pixels).copy()


class MujocoArtist:
    """Makes a `MujocoCamera`, or a `MujocoSketch` where OpenGL does not work, at the first picture and keeps it."""

    def __init__(self, **camera: Any) -> None:
        """`camera`: the fields of a pack's [camera] section."""
        self._settings = camera
        self._camera: MujocoCamera | MujocoSketch | None = None

    def draw(self, model: Any, state: np.ndarray, size: int) -> np.ndarray:
        """(size, size, 3) uint8 from an integration state (n,)."""
        if self._camera is None or self._camera.size != size:
            import copy

            own = copy.copy(model)
            camera = _mjv_camera(own, **self._settings)
            self._camera = (MujocoCamera if gl_backend() else MujocoSketch)(own, camera=camera, size=size)
        self._camera.move_sites(model.site_pos)
        return self._camera.draw(state)


class MujocoEnvArtist(MujocoArtist):
    """Draws Gymnasium environments on MuJoCo, without touching their simulation."""

    def __call__(self, env: Any, size: int) -> np.ndarray:
        mujoco = load_mujoco()
        bare, spec = env.unwrapped, mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(bare.model, spec))
        mujoco.mj_getState(bare.model, bare.data, state, spec)
        _mark_goal(bare)
        return self.draw(bare.model, state, size)


def _mark_goal(bare: Any) -> None:
    """Put the mark of Gymnasium-Robotics' Fetch environments, a site without part in physics, where the goal is."""
    mujoco = load_mujoco()
    site = mujoco.mj_name2id(bare.model, mujoco.mjtObj.mjOBJ_SITE, "target0")
    if site >= 0 and np.shape(getattr(bare, "goal", ())) == (3,):
        bare.model.site_pos[site] = bare.goal - bare.data.xpos[bare.model.site_bodyid[site]]


def _mjv_camera(
    model: Any,
    *,
    name: str = "",
    distance: float | None = None,
    azimuth: float = 90.0,
    elevation: float = -20.0,
    lookat: tuple[float, float, float] | None = None,
    track: str = "",
) -> Any:
    mujoco = load_mujoco()
    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    if name:
        camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        camera.fixedcamid = model.camera(name).id
        return camera
    if track:
        camera.type = mujoco.mjtCamera.mjCAMERA_TRACKING
        camera.trackbodyid = model.body(track).id
    camera.azimuth, camera.elevation = azimuth, elevation
    camera.distance = distance or camera.distance
    if lookat is not None:
        camera.lookat[:] = lookat
    return camera


class ClassicArtist:
    """Draws states of one of Gymnasium's classic control environments, which is made at the first picture and kept."""

    def __init__(self, make_env: Callable[[], Any]) -> None:
        self._make, self._env = make_env, None

    def __call__(self, state: np.ndarray, size: int) -> np.ndarray:
        if self._env is None:
            self._env = self._make()
            self._env.reset(seed=0)
        self._env.unwrapped.state = state
        return draw_gym(self._env, size)


def draw_gym(env: Any, size: int) -> np.ndarray:
    """Picture of a Gymnasium environment built without a render mode, its longer side `size` pixels.

    The mode is set for the moment of drawing only: some environments change their physics when it is set all along.

    Raises: EnvironmentFault: it offers no rgb_array, or drawing fails.
    """
    bare = env.unwrapped
    modes = bare.metadata.get("render_modes") or ()
    if "rgb_array" not in modes:
        raise EnvironmentFault(
            f"{type(bare).__name__} cannot draw pictures (it offers {', '.join(map(str, modes)) or 'no render modes'})",
            hint="turn videos off, or use an environment with the render mode rgb_array",
        )
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    before = getattr(bare, "render_mode", None)
    bare.render_mode = "rgb_array"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "pkg_resources is deprecated")  # pygame asks for it when first imported
            frame = np.asarray(env.render())
    except Exception as error:  # a boundary: the environment is someone else's code
        raise EnvironmentFault(
            f"{type(bare).__name__} failed to draw: {type(error).__name__}: {error}",
            hint="turn videos off, or install what the environment needs for drawing",
        ) from error
    finally:
        bare.render_mode = before
    return resize(frame, size)


def resize(frame: np.ndarray, size: int) -> np.ndarray:
    """`frame` (H, W, 3) uint8 with its longer side `size` pixels, both sides even (as video encoders want)."""
    height, width = frame.shape[:2]
    scale = size / max(height, width)
    rows, columns = (max(2, round(side * scale / 2) * 2) for side in (height, width))
    pixels = np.ascontiguousarray(frame[..., :3], dtype=np.uint8)
    if (rows, columns) == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BOX))
