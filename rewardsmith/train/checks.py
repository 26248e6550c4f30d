"""A goal with checks: what success asks of an episode besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rewardsmith.envs import Metric
from rewardsmith.envs.metrics import Quantities


class CheckedMetric:
    """A metric whose success counts only in episodes that meet every check. Fitness stays the metric's own.

    Args:
        knows_success: False where `metric` defines no success: the checks alone decide then.
    """

    def __init__(self, metric: Metric, checks: Sequence[Metric], *, knows_success: bool = True) -> None:
        self.about = "; and ".join([metric.about, *(check.about for check in checks)])
        self._metrics = [metric, *checks]
        self._knows_success = knows_success

    def step(
        self,
        features: Quantities,
        previous: Quantities,
        *,
        action: Tensor,
        native_reward: Tensor,
        terminated: Tensor,
        info: Mapping[str, Tensor] | None = None,
    ) -> Quantities:
        """The quantities of all metrics, each under the number of its metric."""
        return {
            f"{number}.{name}": values
            for number, metric in enumerate(self._metrics)
            for name, values in metric.step(
                features, previous, action=action, native_reward=native_reward, terminated=terminated, info=info
            ).items()
        }

    def episode(
        self, sums: Quantities, last: Quantities, low: Quantities, high: Quantities, length: Tensor
    ) -> tuple[Tensor, Tensor]:
        judged = [
            metric.episode(_of(number, sums), _of(number, last), _of(number, low), _of(number, high), length)
            for number, metric in enumerate(self._metrics)
        ]
        fitness = judged[0][0]
        success = [success for _, success in judged[0 if self._knows_success else 1 :]]
        return fitness, torch.stack(success).prod(dim=0)


def _of(number: int, quantities: Quantities) -> Quantities:
    """The quantities of one of the metrics, under their own names."""
    own = f"{number}."
    return {name.removeprefix(own): values for name, values in quantities.items() if name.startswith(own)}
