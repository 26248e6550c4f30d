"""`compare` on files: names, what is refused, the picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rewardsmith.cli import app
from rewardsmith.cli.compare import show
from rewardsmith.errors import UsageError
from rewardsmith.loop.distances import CoverageSize, DistanceMatrix, DistanceReport, measure_distances, read_rewards
from rewardsmith.loop.heatmap import draw_heatmap

NEAR = 'def compute_reward(obs, action, next_obs):\n    r = -next_obs["distance"]\n    return r, {"near": r}\n'
SHAPING = """
def compute_reward(obs, action, next_obs):
    r = 0.95 * torch.tanh(9 * next_obs["distance"]) - torch.tanh(9 * obs["distance"])
    return r, {"shaping": r}
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "near.py").write_text(NEAR)
    (tmp_path / "twice.py").write_text(NEAR.replace("-next_obs", "-2 * next_obs"))
    (tmp_path / "shaping.py").write_text(SHAPING)
    (tmp_path / "bad.py").write_text("import os\n" + NEAR)
    return [str(tmp_path / f"{name}.py") for name in ("near", "twice", "shaping", "bad")]


def run(*arguments: str):
    return CliRunner().invoke(app, ["compare", *arguments])


def test_compare_files_with_the_packs_rewards(files, tmp_path):
    picture = tmp_path / "out.png"
    result = run("human", "sparse", *files, "--env", "reacher", "--json", "--heatmap", str(picture))
    assert result.exit_code == 1, result.output  # one was refused
    report = json.loads(result.stdout.splitlines()[0])
    names = report["names"]
    assert names == ["human", "sparse", "near", "twice", "shaping"]
    near, twice, human = (names.index(name) for name in ("near", "twice", "human"))
    for metric in ("starc", "epic", "dard"):
        matrix = report[metric]["matrix"]
        assert matrix[near][twice] < 0.05 < matrix[near][human]
    assert report["uninformative"] == ["shaping"] and "shaping" in report["epic"]["left_out"]
    assert report["epic"]["matrix"][near][names.index("shaping")] is None
    assert report["refused"]["bad"].startswith("gate.import")
    assert report["gamma"] == 0.95 and report["coverage"]["env_steps"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arguments", [["human", "--env", "reacher"], ["human", "missing.py", "--env", "reacher"]])
def test_what_cannot_work(arguments):
    result = run(*arguments)
    assert isinstance(result.exception, UsageError)


@pytest.mark.parametrize("gamma", [-0.1, 1.0, float("nan")])
def test_gamma_is_a_discount(gamma):
    with pytest.raises(UsageError, match="no discount"):
        measure_distances("reacher", ["human", "sparse"], gamma=gamma)


def test_names_are_stems_or_else_paths(tmp_path):
    (tmp_path / "deeper").mkdir()
    first, second = tmp_path / "a.py", tmp_path / "deeper" / "a.py"
    first.write_text("1")
    second.write_text("2")
    assert read_rewards([first, second, "human"], {"human": "3"}) == {"a": "1", str(second): "2", "human": "3"}


# --- for people


def drawable(starc: DistanceMatrix) -> DistanceReport:
    nothing = DistanceMatrix(matrix=None, left_out={}, note="no second step")
    return DistanceReport(
        env="e", gamma=0.9, seed=0, names=("a", "$b_{$"), starc=starc, epic=nothing, dard=nothing, uninformative=(),
        refused={}, coverage=CoverageSize(about="", states=1, actions=1, second_actions=0, terminated=0, env_steps=1),
    )  # fmt: skip


def test_tables(capsys):
    show(drawable(DistanceMatrix(matrix=((0.0, 0.125), (0.125, None)), left_out={"$b_{$": "[red]memory"})))
    shown = capsys.readouterr().out
    assert "0.125" in shown and "left out of STARC: $b_{$: [red]memory" in shown
    assert "EPIC: cannot be computed: no second step" in shown


def test_picture_of_part_of_the_distances(tmp_path):
    report = drawable(DistanceMatrix(matrix=((0.0, None), (None, None)), left_out={"$b_{$": "memory"}))
    draw_heatmap(report, tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    for wrong in ("a.nonsense", "missing/a.png"):
        with pytest.raises(UsageError, match="cannot write"):
            draw_heatmap(report, tmp_path / wrong)


def test_nothing_to_draw(tmp_path):
    empty = drawable(DistanceMatrix(matrix=(), left_out={})).model_copy(update={"names": ()})
    for report in (drawable(DistanceMatrix(matrix=None, left_out={})), empty):
        with pytest.raises(UsageError, match="nothing to draw"):
            draw_heatmap(report, tmp_path / "a.png")
