from __future__ import annotations

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rewardsmith.loop.events import PointMeasured, Said
from rewardsmith.loop.tensorboard import event_writer
from rewardsmith.types import CurvePoint


def test_points_become_events_and_everything_is_passed_on(tmp_path) -> None:
    seen = []
    observe = event_writer(tmp_path, seen.append)
    for steps in (10, 20):
        point = CurvePoint(
            env_steps=steps, fitness=steps / 2, success=0.5, episode_length=7, episodes=1, components={"near": 0.25}
        )
        observe(PointMeasured("r1s0", 3, point))
    observe(Said("hello"))
    assert len(seen) == 3
    events = EventAccumulator(str(tmp_path / "r1s0" / "seed-3"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("goal/fitness")] == [(10, 5.0), (20, 10.0)]
    assert events.Scalars("reward/near")[0].value == 0.25
