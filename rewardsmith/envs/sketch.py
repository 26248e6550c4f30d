"""MuJoCo states drawn without OpenGL: every geom's outline, projected through the camera, far ones first.

No textures, no shadows, and hulls for meshes; enough to see what a policy does where neither EGL nor OSMesa works.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from rewardsmith.envs.physics import load_mujoco

SHARPER = 2  # drawn so much larger and scaled down, which smooths edges
SKY, LINE = (226, 232, 240), (203, 213, 225)
NEAR = 0.05  # metres before the camera, below which nothing is drawn
GRID = 12  # lines of the ground to each side
VISIBLE_GROUPS = 3  # geoms of groups 0 to 2, as MuJoCo's own viewer shows them
CORNERS = np.array(list(product((-1.0, 1.0), repeat=3)))  # (8, 3), of a box


class View(NamedTuple):
    """A camera: where it is, and its axes to the right, up, and forward as rows, (3, 3)."""

    position: np.ndarray
    axes: np.ndarray
    focal: float  # pixels

    def project(self, points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (N, 2) and distances along the view (N,) of points (N, 3)."""
        seen = (np.atleast_2d(points) - self.position) @ self.axes.T
        depth = seen[:, 2]
        scale = self.focal / np.maximum(depth, NEAR)
        return np.stack([size / 2 + seen[:, 0] * scale, size / 2 - seen[:, 1] * scale], 1), depth


class Outline(NamedTuple):
    """A filled shape: a polygon (N, 2), or with a `width` a thick line with round ends between its two points."""

    points: np.ndarray
    depth: float
    color: tuple[int, int, int]
    width: float = 0.0


class MujocoSketch:
    """Draws states of one model."""

    def __init__(self, model: Any, *, camera: Any, size: int) -> None:
        """`camera`: an MjvCamera."""
        self._mujoco = load_mujoco()
        self._model, self._data, self._camera, self.size = model, self._mujoco.MjData(model), camera, size
        self._kinds = {name: int(kind) for name, kind in self._mujoco.mjtGeom.__members__.items()}
        self._colors = np.stack([_color(model, g) for g in range(model.ngeom)])
        self._corners = [self._hull_of(g) for g in range(model.ngeom)]

    def move_sites(self, positions: np.ndarray) -> None:
        """Put the model's sites, which may mark goals, at `positions` (sites, 3) in their bodies' frames."""
        self._model.site_pos[:] = positions

    def draw(self, state: np.ndarray) -> np.ndarray:
        """(size, size, 3) uint8 from an integration state (n,)."""
        mujoco, model, data = self._mujoco, self._model, self._data
        mujoco.mj_setState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(model, data)
        large = self.size * SHARPER
        view = self._view(large)
        picture = Image.new("RGB", (large, large), SKY)
        pen = ImageDraw.Draw(picture)
        for line in self._ground(view, large):
            pen.line([tuple(point) for point in line], fill=LINE, width=SHARPER)
        shapes = [*self._geoms(view, large), *self._sites(view, large)]
        for shape in sorted(shapes, key=lambda shape: -shape.depth):
            _fill(pen, shape)
        return np.asarray(picture.resize((self.size, self.size), Image.Resampling.BOX))

    def _hull_of(self, geom: int) -> np.ndarray:
        """Points (N, 3), in the geom's frame, that what is seen of it lies between: of its mesh, or of its box."""
        model = self._model
        middle, half = model.geom_aabb[geom][:3], model.geom_aabb[geom][3:]
        if model.geom_type[geom] != self._kinds["mjGEOM_MESH"]:
            return middle + CORNERS * half
        mesh = int(model.geom_dataid[geom])
        first = int(model.mesh_vertadr[mesh])
        points = model.mesh_vert[first : first + int(model.mesh_vertnum[mesh])].astype(np.float64)
        return points if (corners := _corners_of(points)) is None else corners

    def _view(self, size: int) -> View:
        mujoco, camera, model, data = self._mujoco, self._camera, self._model, self._data
        if camera.type == int(mujoco.mjtCamera.mjCAMERA_FIXED):
            right, up, backward = data.cam_xmat[camera.fixedcamid].reshape(3, 3).T
            axes, fovy = np.stack([right, up, -backward]), float(model.cam_fovy[camera.fixedcamid])
            return View(data.cam_xpos[camera.fixedcamid].copy(), axes, _focal(fovy, size))
        target = np.array(camera.lookat)
        if camera.type == int(mujoco.mjtCamera.mjCAMERA_TRACKING):
            target = data.subtree_com[camera.trackbodyid].copy()
        azimuth, elevation = np.deg2rad(camera.azimuth), np.deg2rad(camera.elevation)
        forward = np.array(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        )
        right = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
        axes = np.stack([right, np.cross(right, forward), forward])
        return View(target - camera.distance * forward, axes, _focal(float(model.vis.global_.fovy), size))

    def _ground(self, view: View, size: int) -> Iterator[np.ndarray]:
        """Lines of a grid on the highest plane, around what is looked at; they show travel."""
        kind = self._kinds["mjGEOM_PLANE"]
        heights = [self._data.geom_xpos[g][2] for g in range(self._model.ngeom) if self._model.geom_type[g] == kind]
        if not heights:
            return
        middle = np.round(view.position[:2] + view.axes[2, :2] * abs(view.position[2] - max(heights)) * 2)
        for offset in range(-GRID, GRID + 1):
            for axis in (0, 1):
                ends = np.array([[0.0, 0.0, max(heights)]] * 2)
                ends[:, :2] = middle
                ends[:, axis] += offset
                ends[:, 1 - axis] += (-GRID, GRID)
                if (line := _before(view, ends)) is not None:
                    yield view.project(line, size)[0]

    def _geoms(self, view: View, size: int) -> Iterator[Outline]:
        model, data, kinds = self._model, self._data, self._kinds
        round_ones = (kinds["mjGEOM_SPHERE"], kinds["mjGEOM_ELLIPSOID"])
        long_ones = (kinds["mjGEOM_CAPSULE"], kinds["mjGEOM_CYLINDER"])
        for g in range(model.ngeom):
            kind, color = int(model.geom_type[g]), self._colors[g]
            if model.geom_group[g] >= VISIBLE_GROUPS or color[3] < 0.1 or kind == kinds["mjGEOM_PLANE"]:
                continue
            place, turn, extent = data.geom_xpos[g], data.geom_xmat[g].reshape(3, 3), model.geom_size[g]
            if kind in round_ones:
                yield from _line(view, size, place[None].repeat(2, 0), float(extent.max()), color)
            elif kind in long_ones:
                ends = place + np.array([[-extent[1]], [extent[1]]]) * turn[:, 2]
                yield from _line(view, size, ends, float(extent[0]), color)
            else:
                yield from _hull(view, size, place + self._corners[g] @ turn.T, color)

    def _sites(self, view: View, size: int) -> Iterator[Outline]:
        model, data = self._model, self._data
        for s in range(model.nsite):
            if model.site_group[s] < VISIBLE_GROUPS and model.site_rgba[s][3] >= 0.1:
                radius = float(model.site_size[s][0])
                yield from _line(view, size, data.site_xpos[s][None].repeat(2, 0), radius, model.site_rgba[s])


def _color(model: Any, geom: int) -> np.ndarray:
    """(4,), 0 to 1: of the geom, or of its material times the middle of its texture."""
    material = int(model.geom_matid[geom])
    if material < 0:
        return model.geom_rgba[geom].astype(np.float64)
    color = model.mat_rgba[material].astype(np.float64)
    textures = [int(t) for t in np.ravel(model.mat_texid[material]) if t >= 0]
    if textures:
        start, channels = int(model.tex_adr[textures[0]]), int(model.tex_nchannel[textures[0]])
        count = int(model.tex_width[textures[0]]) * int(model.tex_height[textures[0]])
        texels = model.tex_data[start : start + count * channels].reshape(count, channels)
        color[:3] *= texels[:, :3].mean(0) / 255
    return color


def _focal(fovy: float, size: int) -> float:
    return size / 2 / np.tan(np.deg2rad(fovy) / 2)


def _before(view: View, ends: np.ndarray) -> np.ndarray | None:
    """The part of a line (2, 3) that lies before the camera."""
    depth = (ends - view.position) @ view.axes[2]
    if (depth <= NEAR).all():
        return None
    for here, there in ((0, 1), (1, 0)):
        if depth[here] <= NEAR:
            ends[here] += (ends[there] - ends[here]) * (NEAR * 2 - depth[here]) / (depth[there] - depth[here])
    return ends


def _line(view: View, size: int, ends: np.ndarray, radius: float, color: Sequence[float]) -> Iterator[Outline]:
    points, depth = view.project(ends, size)
    if depth.min() > NEAR:
        yield Outline(points, float(depth.mean()), _paint(color), 2 * radius * view.focal / float(depth.mean()))


def _hull(view: View, size: int, corners: np.ndarray, color: Sequence[float]) -> Iterator[Outline]:
    points, depth = view.project(corners, size)
    if depth.min() > NEAR and (outline := _corners_of(points)) is not None:
        yield Outline(outline, float(depth.mean()), _paint(color))


def _corners_of(points: np.ndarray) -> np.ndarray | None:
    """Those of (N, 2 or 3) points that the others lie between; None where they are flat, as a plate seen edge-on."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return points[ConvexHull(points).vertices]
    except QhullError:
        return None


def _paint(color: Sequence[float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * min(max(float(part), 0.0), 1.0)) for part in list(color)[:3])
    return red, green, blue


def _fill(pen: ImageDraw.ImageDraw, shape: Outline) -> None:
    edge = tuple(int(0.6 * part) for part in shape.color)
    if not shape.width:
        pen.polygon([tuple(point) for point in shape.points], fill=shape.color, outline=edge, width=SHARPER)
        return
    for grown, color in ((SHARPER, edge), (-SHARPER, shape.color)):
        width = max(shape.width + grown, 1.0)
        pen.line([tuple(point) for point in shape.points], fill=color, width=max(1, round(width)))
        for x, y in shape.points:
            pen.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], fill=color)
