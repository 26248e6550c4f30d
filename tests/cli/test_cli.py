"""The command line as a person meets it: exit codes, streams, and untrusted text."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rewardsmith.cli import app, main
from rewardsmith.cli.console import wash
from rewardsmith.cli.design import parse_kwargs, parse_settings
from rewardsmith.cli.live import spread
from rewardsmith.errors import UsageError

GOOD = '''
def compute_reward(obs, action, next_obs, *, weight=1.0):
    """Forward."""
    speed = weight * next_obs["forward_velocity"]
    return speed, {"speed": speed}
'''
EVIL = "import os\n\ndef compute_reward(obs, action, next_obs):\n    return os.system('true'), {}\n"
INTERFACE = {
    "obs": {"ee": {"shape": [3], "dtype": "float32", "low": -1, "high": 1, "about": "end effector"}},
    "action": {"shape": [4], "low": -1, "high": 1},
}


Call = Callable[..., subprocess.CompletedProcess[str]]


def call(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rewardsmith", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=250)


@pytest.fixture
def call_here(tmp_path, monkeypatch, capsys) -> Call:
    """The same in this process, in an empty folder: one process for each mistake takes seconds each."""

    def call_main(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["rewardsmith", *arguments])
        with pytest.raises(SystemExit) as end:  # anything else would be a traceback
            main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, end.value.code or 0, said.out, said.err)  # type: ignore[arg-type]

    return call_main


def test_check_prints_one_json_line_a_file_and_exits_1_when_one_is_refused(tmp_path) -> None:
    (tmp_path / "good.py").write_text(
        'def compute_reward(obs, action, next_obs):\n    reach = -next_obs["ee"].norm(dim=-1)\n'
        '    return reach, {"reach": reach}\n'
    )
    (tmp_path / "evil.py").write_text(EVIL)
    (tmp_path / "interface.json").write_text(json.dumps(INTERFACE))
    done = call("check", "good.py", "evil.py", "gone.py", "--interface", "interface.json", "--json", cwd=tmp_path)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["file"], line["verdict"]) for line in lines] == [
        ("good.py", "accepted"),
        ("evil.py", "refused"),
        ("gone.py", "refused"),
    ]
    assert lines[1]["findings"][0]["id"] == "gate.import"
    assert lines[1]["findings"][0]["line"] == 1
    assert set(lines[1]["findings"][0]) == {"id", "severity", "message", "hint", "line"}
    assert lines[2]["findings"][0]["id"] == "file.unreadable"
    assert done.returncode == 1


def test_check_with_an_environment_accepts_a_good_reward(tmp_path, call_here) -> None:
    (tmp_path / "reward.py").write_text(GOOD)
    done = call_here("check", "reward.py", "--env", "hopper")
    assert done.returncode == 0, done.stderr
    assert "accepted" in done.stdout


def test_check_of_a_reward_for_another_task_than_the_packs(tmp_path, call_here) -> None:
    (tmp_path / "stay.py").write_text(
        "def compute_reward(obs, action, next_obs, *, place=-0.35):\n"
        '    near = -(next_obs["position"] - place).abs()\n    return near, {"near": near}\n'
    )
    done = call_here("check", "stay.py", "--env", "mountain_car_continuous")
    assert done.returncode == 1 and "direction.inverted" in done.stdout and "--own-task" in done.stdout
    done = call_here("check", "stay.py", "--env", "mountain_car_continuous", "--own-task")
    assert done.returncode == 0 and "direction.inverted" not in done.stdout, done.stdout
    assert "no goal states of this task" in done.stdout  # for the environment's own task there are some


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["envs", "hoper"], 3, "hopper"),
        (["envs", "NoSuchGame-v0"], 3, "NoSuchGame-v0"),
        (["check", "x.py"], 2, "--env"),
        (["check", "x.py", "--env", "hopper", "--interface", "i.json"], 2, "exclude each other"),
        (["check", "--env", "hopper"], 2, "no reward file"),
        (["check", "--explain", "gate.imprt"], 2, "gate.import"),
        (["train", "hopper"], 2, "one reward"),
        (["train", "hopper", "human", "--algo", "sac"], 2, "--trainer sb3"),
        (["train", "Acrobot-v1", "human"], 2, "Acrobot-v1 has no human reward: it has no pack"),
        (["train", "hopper", "--reward", "human", "--trainer", "sb3", "--algo", "dqn"], 2, "continuous actions"),
        (["design", "hopper", "hop", "--llm", "builtin"], 2, "not a language model"),
        (["design", "hopper", "--set", "env_steps"], 2, "KEY=VALUE"),
        (["design", "hopper", "--set", "env_stepz=3"], 2, "env_stepz"),
        (["design", "hopper", "--set", "hidden=33,7"], 2, "multiples of 32"),
        (["design", "hopper", "--set", "learning_rate=fast"], 2, "learning_rate: Input should be a valid number"),
        (["design", "hopper", "--set", "captured=true"], 2, "settings: captured needs a device"),
        (["design", "hopper", "--workers", "-1"], 2, "--workers"),
        (["train", "hopper", "human", "--seeds", "100000"], 2, "seeds: "),
        (["design", "hopper", "--env-kwargs", "[1]"], 2, "JSON object"),
        (["design", "hopper", "--metric", "gone.py"], 2, "gone.py"),
        (["design", "hopper", "--from", "gone.py"], 2, "gone.py"),
        (["design", "hopper", "--method", "magic"], 2, "eureka"),
        (["resume", "nothing"], 2, "nothing"),
        (["refine", "nothing", "more slowly"], 2, "nothing"),
        (["refine", "nothing", "more slowly", "--dry-run"], 2, "nothing"),
        (["report", "nothing"], 2, "nothing"),
        (["eval", "gone.safetensors"], 2, "--env"),
    ],
)
def test_mistakes_are_named_with_a_fix_and_no_traceback(call_here, arguments, code, says) -> None:
    done = call_here(*arguments)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_mistake_ends_the_process_with_its_exit_code_and_no_traceback(tmp_path) -> None:
    done = call("envs", "hoper", cwd=tmp_path)
    assert done.returncode == 3
    assert "hopper" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_explain_tells_why_and_how() -> None:
    done = CliRunner().invoke(app, ["check", "--explain", "gate.import"])
    assert done.exit_code == 0
    assert "fix:" in done.stdout


def test_envs_as_json() -> None:
    done = CliRunner().invoke(app, ["envs", "--json"])
    names = [pack["name"] for pack in json.loads(done.stdout)]
    assert {"hopper", "half_cheetah", "reacher", "lunar_lander", "mountain_car_continuous"} <= set(names)


def test_envs_say_what_has_to_be_installed() -> None:
    done = CliRunner().invoke(app, ["envs"])
    assert "Needs the extra `robotics`." in " ".join(done.stdout.split())


def test_doctor_reports_the_jail() -> None:
    done = CliRunner().invoke(app, ["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert checks["jail"]["ok"], "these tests need a working jail"
    assert {"python", "torch", "mujoco", "rendering"} <= set(checks)


def test_a_dry_run_shows_the_prompt_and_the_cost_and_makes_no_run(tmp_path, call_here) -> None:
    done = call_here("design", "hopper", "--llm", "anything", "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert "compute_reward" in plan["prompts"][0][1]
    assert plan["model_calls"] == [16, 48]
    assert plan["env_steps"] > 16 * 2 * 100_000
    assert plan["steps_are"].startswith("16 candidates x 2 seeds x ")
    assert not (tmp_path / "runs").exists()


def test_untrusted_text_cannot_drive_the_terminal() -> None:
    assert wash("\x1b[31mred\x1b[0m\x07") == "[31mred[0m"
    assert wash("[bold]x[/bold]") == "\\[bold]x\\[/bold]"
    assert "\u202e" not in wash("a\u202eb")
    assert wash("x" * 3000).endswith(" ...")


def test_settings_are_typed() -> None:
    assert parse_settings(["a=1", "b=1e-3", "c=fast", "d=true"]) == {"a": 1, "b": 1e-3, "c": "fast", "d": True}
    assert parse_settings(["a=64,32", "b=[64]", "c=fast, slow"]) == {"a": [64, 32], "b": [64], "c": "fast, slow"}
    assert parse_kwargs(None) == {}
    with pytest.raises(UsageError):
        parse_settings(["=1"])


def test_few_seeds_show_their_range() -> None:
    assert spread([]) == ""
    assert spread([1.0]) == "1"
    assert spread([1.0, 3.0]) == "2 (1 to 3)"
