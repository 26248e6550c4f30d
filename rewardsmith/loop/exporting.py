"""From a run to a folder that needs no rewardsmith."""

from __future__ import annotations

from pathlib import Path

from rewardsmith.config import FRESH_SEED
from rewardsmith.errors import RunError, unknown
from rewardsmith.export import export_reward
from rewardsmith.loop.building import build
from rewardsmith.loop.summary import load_run
from rewardsmith.loop.trust import require_trust
from rewardsmith.store import find_run, inside


def export_run(
    run: str | Path, out: Path, *, candidate: str | None = None, runs: str | Path = "runs", trust: bool = False
) -> Path:
    """Export the best candidate of a run, or the one named.

    Args:
        trust: run the environment's code that the run names even if somebody else made the run.

    Raises:
        RunError: nothing was accepted, there is no such candidate, or its files are damaged.
        UsageError: the run needs `trust`.
    """
    summary = load_run(run, runs=runs)
    id = candidate or summary.best
    if id is None:
        raise RunError(f"the run {summary.id} has no accepted reward to export", hint="rewardsmith report shows why")
    folder = find_run(str(run), Path(runs))
    known = folder.candidate_ids()
    if id not in known:
        raise RunError(unknown("candidate", id, known))
    files = folder.candidate(id)
    if not files.graph_path.exists():
        raise RunError(f"the candidate {id} was refused, so it has no graph", hint="export an accepted candidate")
    graph, source = files.read_graph(), files.read_reward()
    policies = [files.seeds_root / str(seed) / "policy.safetensors" for seed in (FRESH_SEED, 0)]
    policy = next((p for p in policies if p.exists()), None)
    require_trust(summary, "export", trust=trust)
    environment = build(summary.config.env.name, summary.config.env.kwargs)
    return export_reward(
        graph,
        source,
        environment.interface,
        environment,
        inside(summary.root, policy) if policy else None,
        out,
        about=summary.task.words if summary.task else "",
    )
