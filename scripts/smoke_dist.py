"""Install each built distribution in a clean environment and use it: `python scripts/smoke_dist.py dist`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SMOKE = """
import sys, rewardsmith
assert "torch" not in sys.modules, "import rewardsmith must not import torch"
assert "site-packages" in rewardsmith.__file__, rewardsmith.__file__
"""

REWARD = """
def compute_reward(obs, action, next_obs, *, weight=1.0):
    progress = weight * (next_obs["torso_x"] - obs["torso_x"])
    return progress, {"progress": progress}
"""


def smoke(distribution: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(scratch, with_pip=True)
        python = Path(scratch, "bin", "python")

        def run(*command: str | Path) -> None:
            subprocess.run([str(c) for c in command], check=True, cwd=scratch)

        run(python, "-m", "pip", "install", "-q", "--upgrade", "pip>=25.1")
        run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", "torch==2.13.0", distribution)
        run(python, "-c", SMOKE)
        command = Path(scratch, "bin", "rewardsmith")
        run(command, "--version")
        run(command, "envs")
        Path(scratch, "reward.py").write_text(REWARD)
        run(command, "check", "reward.py", "--env", "hopper")
    print(f"ok: {distribution.name}")


def main() -> None:
    folder = Path(sys.argv[1])
    distributions = sorted([*folder.glob("*.whl"), *folder.glob("*.tar.gz")])
    if len(distributions) < 2:
        sys.exit(f"{folder} must hold a wheel and an sdist; found {[d.name for d in distributions]}")
    for distribution in distributions:
        smoke(distribution.resolve())


if __name__ == "__main__":
    main()
