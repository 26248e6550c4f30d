"""`PhysicsBackend`: named arrays of B simulations of one MuJoCo model, and the one on `mujoco.batch`.

`warp_backend.py` has the one on mujoco-warp.

A field is named as in MjData (`qpos`, `xpos`), optionally followed by an element: `xpos:fingertip`,
`geom_xpos:foot_geom`, `sensordata:gyro`. State fields (`qpos`, `qvel`, `ctrl`, ...) are live views; derived fields are
copied after each call and belong to the state before the last substep, exactly as Gymnasium's environments see them.
`cfrc_ext` is computed after each step, which costs; like Gymnasium's it is zero after a reset.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rewardsmith.errors import EnvironmentFault

log = logging.getLogger(__name__)


class PhysicsBackend(Protocol):
    """B simulations of one model.

    Attributes:
        device: where the tensors live.
        exact: whether what is written back into `state` continues bit-exactly.
    """

    num_envs: int
    model: Any
    device: torch.device
    exact: bool

    def fields(self) -> dict[str, Tensor]:
        """The requested fields, each (B, ...), live."""
        ...

    def view(self, name: str) -> Tensor:
        """One field (B, ...), live."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Everything a simulation continues from, besides its model; each (B, ...), live."""
        ...

    def snapshot(self, id: int) -> np.ndarray:
        """MuJoCo's integration state (n,) float64 of one row, from which it can be drawn."""
        ...

    def set(self, name: str, ids: np.ndarray, values: Tensor) -> None:
        """Write rows `ids` (k,) of a field; `values` is (k, ...). Call `forward` before reading derived fields."""
        ...

    def step(self, ctrl: Tensor, nstep: int) -> Tensor:
        """Advance all rows by `nstep` substeps under `ctrl` (B, nu).

        Returns: (B,) bool on `device`, the rows that blew up; these keep the state they had before.
        """
        ...

    def reset(self, ids: np.ndarray) -> None:
        """Rows `ids` back to the model's defaults; derived fields are stale until `forward`."""
        ...

    def forward(self, ids: np.ndarray) -> None:
        """Make derived fields of rows `ids` current."""
        ...

    def scale(self, ids: np.ndarray, factors: Mapping[str, np.ndarray]) -> None:
        """Give rows `ids` (k,) their own model: the base model with properties of `SCALABLE` times `factors` (k,)."""
        ...


def load_mujoco() -> Any:
    """The mujoco module, its warnings sent to logging: it neither prints them nor writes MUJOCO_LOG.TXT."""
    mujoco: Any = importlib.import_module("mujoco")
    mujoco.set_mju_user_warning(lambda message: log.debug("mujoco: %s", message))
    return mujoco


SCALABLE = {
    "mass": ("body_mass", "body_inertia"),
    "friction": ("geom_friction",),
    "damping": ("dof_damping",),
    "armature": ("dof_armature",),
    "stiffness": ("jnt_stiffness",),
    "motor_strength": ("actuator_gear",),
    "gravity": ("opt.gravity",),
    "fluid_density": ("opt.density",),
    "fluid_viscosity": ("opt.viscosity",),
}
"""Properties of a model that may differ between simulations, with the MjModel fields that hold them."""

EXTERNAL_FORCES = "cfrc_ext"
"""A field that MuJoCo computes only when asked to."""

_STATE_FIELDS = frozenset({"qpos", "qvel", "act", "ctrl", "time", "mocap_pos", "mocap_quat"})


def field_source(model: Any, name: str) -> tuple[str, tuple]:
    """(MjData field, index into its axes from 1 on) for a field name.

    Raises: EnvironmentFault: the model has no such element.
    """
    mujoco = load_mujoco()
    base, _, element = name.partition(":")
    if not element:
        return base, ()
    kind = "SENSOR" if base == "sensordata" else {"geom": "GEOM", "site": "SITE"}.get(base.split("_")[0], "BODY")
    found = mujoco.mj_name2id(model, getattr(mujoco.mjtObj, f"mjOBJ_{kind}"), element)
    if found < 0:
        raise EnvironmentFault(
            f"the MuJoCo model has no {kind.lower()} {element!r} for the field {name!r}",
            hint="correct FIELDS in the pack's world.py",
        )
    if kind == "SENSOR":
        start = model.sensor_adr[found]
        return base, (slice(start, start + model.sensor_dim[found]),)
    return base, (found,)


class BatchBackend:
    """`PhysicsBackend` on `mujoco.batch.Batch`: native threads, results bit-identical to one MjData per simulation."""

    exact = True

    def __init__(self, model: Any, num_envs: int, names: Sequence[str], *, threads: int = 1) -> None:
        """Args:
        model: the MjModel.
        names: the fields to keep.
        threads: native threads, the caller's included.
        """
        mujoco = load_mujoco()
        from mujoco.batch import Batch

        self.model, self.num_envs, self.device = model, num_envs, torch.device("cpu")
        self._sources = {name: field_source(model, name) for name in names}
        self._forces: np.ndarray | None = None
        if any(base == EXTERNAL_FORCES for base, _ in self._sources.values()):
            self._forces, self._scratch = np.zeros((num_envs, model.nbody, 6)), mujoco.MjData(model)
            self._compute_forces = mujoco.mj_rnePostConstraint
        self._batch = Batch(model, num_envs, threads, persistent=self._forces is not None)
        self._state = self._batch.state
        self._initial, self._before = self._state[0].copy(), self._state.copy()
        # Counters of the warnings that mean a blown-up simulation, which follow one another.
        bad = [getattr(mujoco.mjtWarning, f"mjWARN_BAD{q}").value for q in ("QPOS", "QVEL", "QACC")]
        self._warnings = self._batch.warning[:, min(bad) : max(bad) + 1, 1]
        self._none_blown = torch.zeros(num_envs, dtype=torch.bool)
        self._ctrl = self._batch.bind("ctrl")
        self._views = {name: self._view_of(name) for name in names}

    def _view_of(self, name: str) -> Tensor:
        base, index = self._sources[name]
        try:
            array = self._array(base)[:, *index]
        except (AttributeError, ValueError, KeyError) as error:
            raise EnvironmentFault(
                f"MuJoCo has no bindable field {base!r}: {error}", hint="correct FIELDS in the pack's world.py"
            ) from error
        if base in _STATE_FIELDS:
            return torch.from_numpy(array)
        return torch.from_numpy(array.copy())  # refilled by _refresh; a copy, so that a saved row can be put back

    def _array(self, base: str) -> np.ndarray:
        return self._forces if base == EXTERNAL_FORCES and self._forces is not None else self._batch.bind(base)

    def _refresh(self, ids: np.ndarray | slice) -> None:
        for name, (base, index) in self._sources.items():
            if base not in _STATE_FIELDS:
                self._views[name].numpy()[ids] = self._array(base)[ids, *index]

    def _measure_forces(self, forces: np.ndarray, ids: np.ndarray | slice) -> None:
        """External forces on bodies of rows `ids`. They follow from contacts, whatever the row's masses are."""
        for i in np.arange(self.num_envs)[ids].tolist():
            self._batch.get_data(i, self._scratch)
            self._compute_forces(self.model, self._scratch)
            forces[i] = self._scratch.cfrc_ext

    def fields(self) -> dict[str, Tensor]:
        return self._views

    def view(self, name: str) -> Tensor:
        return self._views[name]

    def state(self) -> dict[str, Tensor]:
        return {"physics": torch.from_numpy(self._state)}

    def snapshot(self, id: int) -> np.ndarray:
        return self._state[id]

    def set(self, name: str, ids: np.ndarray, values: Tensor) -> None:
        self.view(name)[torch.from_numpy(ids)] = values

    def step(self, ctrl: Tensor, nstep: int) -> Tensor:
        from mujoco.batch import SimulationError

        self._ctrl[:] = ctrl.numpy()
        np.copyto(self._before, self._state)
        raised: np.ndarray | tuple[()] = ()
        try:
            self._batch.step(nstep=nstep)
        except SimulationError as error:
            log.warning("%s", error)
            raised = np.asarray(error.ids)
        blown = self._blown(raised)
        good: np.ndarray | slice = slice(None)
        if blown is not None:  # MuJoCo has reset such a row to its defaults: back to the last real state
            self._state[blown] = self._before[blown]
            good = np.flatnonzero(~blown)
        if self._forces is not None:
            self._measure_forces(self._forces, good)
        self._refresh(good)
        return self._none_blown if blown is None else torch.from_numpy(blown)

    def _blown(self, raised: np.ndarray | tuple[()]) -> np.ndarray | None:
        """(B,) bool, rows that blew up in the last step; None: not one."""
        if not len(raised) and not self._warnings.any() and np.isfinite(self._state).all():
            return None
        blown = self._warnings.any(1) | ~np.isfinite(self._state).all(1)
        blown[list(raised)] = True
        self._warnings[:] = 0
        return blown

    def reset(self, ids: np.ndarray) -> None:
        if self._forces is None:  # the state is all that a simulation keeps between two calls
            self._state[ids] = self._initial
        else:
            self._batch.reset(np.sort(ids).astype(np.int32), stage=0)  # Batch wants ascending ids

    def forward(self, ids: np.ndarray) -> None:
        self._batch.forward(np.sort(ids).astype(np.int32))
        if self._forces is not None:
            self._forces[ids] = 0.0
        self._refresh(ids)

    def scale(self, ids: np.ndarray, factors: Mapping[str, np.ndarray]) -> None:
        for name, values in factors.items():
            for field in SCALABLE[name]:
                own = self._batch.expand(field)
                base = self.model.opt if field.startswith("opt.") else self.model
                usual = np.asarray(getattr(base, field.removeprefix("opt.")))
                own[ids] = np.multiply.outer(values, usual)
        self._batch.set_const(np.sort(ids).astype(np.int32))
