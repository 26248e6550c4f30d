"""What changed between two rewards: code, parameters, components, and how far apart they are."""

from __future__ import annotations

from collections.abc import Mapping

from rewardsmith.envs import Environment
from rewardsmith.loop.distances import DistanceReport, distances_between
from rewardsmith.reward.program import RewardProgram
from rewardsmith.types import Record


class ParameterChange(Record):
    """`before` or `after` is None for a parameter that only one of the two has."""

    name: str
    before: float | None
    after: float | None


class Changes(Record):
    """From one reward (`before`) to the reward that is inspected (`after`)."""

    before: str
    after: str
    parameters: tuple[ParameterChange, ...]
    added: tuple[str, ...]  # components
    removed: tuple[str, ...]
    kept: tuple[str, ...]
    other: tuple[str, ...]  # memory and potential shaping gained or lost, in words
    distances: DistanceReport


def changes_between(
    environment: Environment, before: tuple[str, RewardProgram], after: tuple[str, RewardProgram], *, gamma: float
) -> Changes:
    """Args: before, after: label and program. Raises: EnvironmentFault: as `measure_distances`."""
    (old_name, old), (new_name, new) = before, after
    kept = [name for name in new.component_names if name in old.component_names]
    return Changes(
        before=old_name,
        after=new_name,
        parameters=tuple(changed_parameters(old.parameters, new.parameters)),
        added=tuple(name for name in new.component_names if name not in kept),
        removed=tuple(name for name in old.component_names if name not in kept),
        kept=tuple(kept),
        other=tuple(_other(old, new)),
        distances=distances_between(environment, {old_name: old, new_name: new}, gamma=gamma),
    )


def changed_parameters(before: Mapping[str, float], after: Mapping[str, float]) -> list[ParameterChange]:
    return [
        ParameterChange(name=name, before=before.get(name), after=after.get(name))
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]


def _other(old: RewardProgram, new: RewardProgram) -> list[str]:
    said = []
    for what, had, has in (
        ("keeps memory", old.uses_memory, new.uses_memory),
        ("has potential shaping", old.has_potential, new.has_potential),
    ):
        if had != has:
            said.append(f"{what} now" if has else f"no longer {what}")
    return said
