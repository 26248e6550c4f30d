"""`PhysicsBackend` on mujoco-warp: all simulations in arrays of one device, a CUDA GPU or the CPU, in float32.

State fields are views of warp's own arrays. Derived fields are copies, as in `BatchBackend`: warp always computes all
rows, and a row must not change because another one was reset.

All of it is tested on warp's CPU device, graphs included; nothing has been run on a GPU yet. There, `step` and
`forward` read nothing back to the host, except that without `captured` the solver asks after each iteration whether it
is done. Torch has to work on its default stream there, with which warp's streams keep their order.
"""

from __future__ import annotations

import copy
import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rewardsmith.envs.physics import EXTERNAL_FORCES, SCALABLE, field_source, load_mujoco
from rewardsmith.errors import EnvironmentFault, MissingExtra

log = logging.getLogger(__name__)

MAX_VALUE = 1e10
"""Beyond it (MuJoCo's mjMAXVAL) a position, velocity or acceleration means a blown-up simulation."""

CONTACTS = 48
"""Contacts of one simulation for which there is room."""

_STATE = ("time", "qpos", "qvel", "act", "history", "plastic", "qacc_warmstart", "ctrl", "mocap_pos", "mocap_quat")
_INERTIAL = {"mass", "armature", "motor_strength"}  # properties on which further numbers of a model depend
_DERIVED = ("body_subtreemass", "body_invweight0", "dof_invweight0", "tendon_invweight0", "actuator_acc0")


class WarpBackend:
    """See `PhysicsBackend`.

    On warp's CPU device results are the same in every run and whatever the other rows do. On a GPU they are not:
    sums of contact forces are added up in any order, so `exact` is false there.
    """

    def __init__(
        self, model: Any, num_envs: int, names: Sequence[str], *, device: torch.device, captured: bool = True
    ) -> None:
        """Args:
        model: the MjModel.
        names: the fields to keep.
        device: "cpu" or "cuda:0".
        captured: record a step's kernels once and replay them, which gives the same bits and is 20 to 40 times faster
            than launching each one from Python (on the CPU, few rows). On a GPU it needs CUDA 12.4.

        Raises:
            MissingExtra: mujoco-warp is not installed.
            EnvironmentFault: mujoco-warp cannot simulate this model, has no such field, or not on this device.
        """
        self._wp, self._mjw = load_warp()
        self.model, self.num_envs, self.device, self.exact = model, num_envs, device, device.type == "cpu"
        self._captured = captured
        self._graphs: dict[tuple[str, int], Any] = {}
        self._on = _warp_device(self._wp, device)
        with self._wp.ScopedDevice(self._on):
            try:
                self._m = self._mjw.put_model(_solvable(model))
            except NotImplementedError as error:
                raise EnvironmentFault(
                    f"mujoco-warp cannot simulate this model: {error}", hint="simulate it on the CPU, with make_world"
                ) from error
            self._d = self._mjw.make_data(model, num_envs, nconmax=CONTACTS, njmax=_constraints(model))
        self._m.opt.warn_overflow = 0  # it would print; `_blown` looks instead
        self._state = {name: self._array(name) for name in _STATE if getattr(self._d, name).size}
        self._defaults = {name: state[:1].clone() for name, state in self._state.items()}
        self._before = {name: state.clone() for name, state in self._state.items()}
        self._overflow, self._qacc = self._array("overflow"), self._array("qacc")
        bits = self._mjw.OverflowType
        self._lost = int(bits.NEFC | bits.NJMAX_NNZ | bits.BROADPHASE | bits.NARROWPHASE | bits.CCD)
        self._own: dict[str, Tensor] = {}
        self._views: dict[str, Tensor] = {}
        self._derived: dict[str, Tensor] = {}
        self._forces: list[str] = []
        for name in names:
            base, index = field_source(model, name)
            live = self._array(base)[:, *index]
            self._views[name] = live if base in _STATE else live.clone()
            if base not in _STATE:
                self._derived[name] = live
            if base == EXTERNAL_FORCES:
                self._forces.append(name)

    def _array(self, base: str) -> Tensor:
        """A field of warp's data as a live tensor, in MujoCo's shape (matrices as nine numbers)."""
        array: Any = getattr(self._d, base, None)
        if not isinstance(array, self._wp.array) or array.shape[:1] != (self.num_envs,):
            raise EnvironmentFault(f"mujoco-warp has no field {base!r}", hint="correct FIELDS in the pack's world.py")
        tensor = self._wp.to_torch(array)
        return tensor.flatten(2) if tensor.ndim > 3 else tensor

    def _rows(self, ids: np.ndarray) -> Tensor:
        return torch.from_numpy(ids).to(self.device)

    def fields(self) -> dict[str, Tensor]:
        return self._views

    def view(self, name: str) -> Tensor:
        return self._views[name]

    def state(self) -> dict[str, Tensor]:
        return self._state

    def snapshot(self, id: int) -> np.ndarray:
        mujoco = load_mujoco()
        data, kind = mujoco.MjData(self.model), mujoco.mjtState.mjSTATE_INTEGRATION
        for name, state in self._state.items():
            if name == "time":
                data.time = state[id].item()
            else:
                getattr(data, name)[:] = state[id].numpy(force=True)
        out = np.empty(mujoco.mj_stateSize(self.model, kind))
        mujoco.mj_getState(self.model, data, out, kind)
        return out

    def set(self, name: str, ids: np.ndarray, values: Tensor) -> None:
        view = self.view(name)
        view[self._rows(ids)] = values.to(view.dtype)

    def step(self, ctrl: Tensor, nstep: int) -> Tensor:
        self._state["ctrl"].copy_(ctrl)
        for name, before in self._before.items():
            before.copy_(self._state[name])
        self._overflow.zero_()

        def substeps() -> None:
            for _ in range(nstep):
                self._mjw.step(self._m, self._d)
            if self._forces:
                self._mjw.rne_postconstraint(self._m, self._d)

        self._launch(("step", nstep), substeps)
        blown = self._blown()
        for name, before in self._before.items():
            _replace(self._state[name], blown, before)
        self._refresh(~blown)
        return blown

    def _blown(self) -> Tensor:
        """(B,) rows with values out of range, or in which some contact found no room and was left out."""
        blown = (self._overflow & self._lost) != 0
        for values in (self._state["qpos"], self._state["qvel"], self._qacc):
            blown |= ~(values.abs() <= MAX_VALUE).all(1)  # NaN is not below either
        return blown

    def _refresh(self, rows: Tensor) -> None:
        """Fill the derived fields of `rows` (B,) bool."""
        for name, source in self._derived.items():
            _replace(self._views[name], rows, source)

    def _launch(self, key: tuple[str, int], launch: Callable[[], None]) -> None:
        """Run `launch` on the device, from the second time on as the recorded graph `key`."""
        wp = self._wp
        with wp.ScopedDevice(self._on):
            if key in self._graphs:
                wp.capture_launch(self._graphs[key])
                return
            launch()  # compiles and loads the kernels too, which cannot be done while recording
            if self._captured:
                with wp.ScopedCapture() as capture:  # records without running anything
                    launch()
                self._graphs[key] = capture.graph

    def reset(self, ids: np.ndarray) -> None:
        rows = self._rows(ids)
        for name, state in self._state.items():
            state[rows] = self._defaults[name]

    def forward(self, ids: np.ndarray) -> None:
        """See `PhysicsBackend`. Warp computes all rows, so that one reset costs as much as many at once."""
        self._launch(("forward", 0), lambda: self._mjw.forward(self._m, self._d))
        rows = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        rows[self._rows(ids)] = True
        self._refresh(rows)
        for name in self._forces:
            self._views[name][rows] = 0.0

    def scale(self, ids: np.ndarray, factors: Mapping[str, np.ndarray]) -> None:
        rows = self._rows(ids)
        for name, values in factors.items():
            for field in SCALABLE[name]:
                base = self.model.opt if field.startswith("opt.") else self.model
                usual = np.asarray(getattr(base, field.removeprefix("opt.")))
                own = self._own_field(field)
                own[rows] = torch.from_numpy(np.multiply.outer(values, usual)).to(own)
        if _INERTIAL & factors.keys():
            for field in _DERIVED:
                self._own_field(field)
            with self._wp.ScopedDevice(self._on):
                self._mjw.set_const(self._m, self._d, restore=False)

    def _own_field(self, field: str) -> Tensor:
        """A field of the model with a row for each simulation, (B, ...); warp starts with one row for all."""
        if field not in self._own:
            holder = self._m.opt if field.startswith("opt.") else self._m
            shared = getattr(holder, field.removeprefix("opt."))
            usual = self._wp.to_torch(shared)
            own = usual.repeat(self.num_envs, *[1] * (usual.ndim - 1))
            setattr(holder, field.removeprefix("opt."), self._wp.from_torch(own, dtype=shared.dtype))
            self._own[field] = own
            self._graphs.clear()  # they read the old array
        return self._own[field]


def load_warp() -> tuple[Any, Any]:
    """The modules warp and mujoco_warp. Raises: MissingExtra: they are not installed."""
    try:
        warp = importlib.import_module("warp")
        warp.config.log_level = warp.LOG_ERROR  # it tells of every kernel it loads, on stdout
        warp.init()
        return warp, importlib.import_module("mujoco_warp")
    except ImportError as error:
        raise MissingExtra("mujoco-warp", "gpu") from error


def _warp_device(wp: Any, device: torch.device) -> Any:
    if device.type not in ("cpu", "cuda"):
        raise EnvironmentFault(f"mujoco-warp does not run on {device}", hint="use cuda or cpu")
    if device.type == "cuda" and not wp.is_cuda_available():
        raise EnvironmentFault("torch sees a CUDA device, warp does not", hint="update the NVIDIA driver, or use cpu")
    return wp.device_from_torch(device)


def _solvable(model: Any) -> Any:
    """`model` with the Newton solver in the place of PGS, which warp lacks; both look for the same forces."""
    solver = load_mujoco().mjtSolver
    if model.opt.solver != solver.mjSOL_PGS:
        return model
    log.info("mujoco-warp has no PGS solver: Newton is used")
    model = copy.copy(model)
    model.opt.solver = solver.mjSOL_NEWTON
    return model


def _constraints(model: Any) -> int:
    """Room for the constraints of one simulation: every limit, friction loss and equality, and all contacts."""
    dimensions = int(model.geom_condim.max(initial=1))
    per_contact = max(1, 2 * (dimensions - 1))
    limits = int(2 * model.jnt_limited.sum() + 2 * model.tendon_limited.sum())
    friction = int((model.dof_frictionloss > 0).sum() + (model.tendon_frictionloss > 0).sum())
    return CONTACTS * per_contact + limits + friction + 6 * model.neq


def _replace(values: Tensor, rows: Tensor, others: Tensor) -> None:
    """Put rows (B,) bool of `others` (B, ...) into `values`."""
    mask = rows.view(-1, *[1] * (values.ndim - 1))
    values.copy_(torch.where(mask, others, values))
