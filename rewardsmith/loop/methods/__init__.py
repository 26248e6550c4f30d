"""Design methods: one file each, which says what to try next as its paper's pseudocode does (see `loop.search`).

Outside packages add theirs with the entry point group `rewardsmith.methods`; `module:Class` names one without that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardsmith.config import JUDGED, DesignConfig
from rewardsmith.errors import UsageError, unknown
from rewardsmith.loop.asking import Asked, told

if TYPE_CHECKING:
    from rewardsmith.loop.search import Method

METHODS = {
    "rewardsmith": "rewardsmith.loop.methods.rewardsmith:Rewardsmith",
    "eureka": "rewardsmith.loop.methods.eureka:Eureka",
    "auto_mc": "rewardsmith.loop.methods.auto_mc:AutoMC",
    "icpl": "rewardsmith.loop.methods.icpl:ICPL",
    "oneshot": "rewardsmith.loop.methods.oneshot:OneShot",
    "refine": "rewardsmith.loop.methods.refine:Refine",
    "given": "rewardsmith.loop.methods.given:Given",
}
OF_COMMANDS = {  # methods that other commands use: the setting that those fill in, and which command it is
    "refine": ("refines", 'rewardsmith refine RUN "WISH"'),
    "given": ("rewards", "rewardsmith train ENV REWARD"),
}
NEED_A_MODEL = ("review_rounds", "summaries")  # settings that ask a language model


def load_method(name: str) -> Callable[[DesignConfig], Method]:
    """The method's class. Raises: UsageError: there is no such method, or it cannot be imported."""
    known = METHODS | {e.name: e.value for e in entry_points(group="rewardsmith.methods")}
    if name not in known and ":" not in name:
        raise UsageError(unknown("method", name, known), hint="or name a class of yours as module:Class")
    module, _, attribute = known.get(name, name).rpartition(":")
    if module.endswith(".py"):
        file = Path(module)
        raise UsageError(
            f"the method {name} names a file, not a module",
            hint=f"with {file.parent} in PYTHONPATH it is {file.stem}:{attribute}",
        )
    try:
        found = import_module(module)
    except ImportError as error:
        raise UsageError(
            f"the method {name} cannot be imported: {error}", hint="is its folder in PYTHONPATH, its package installed?"
        ) from error
    except Exception as error:
        raise UsageError(f"the method {name} cannot be imported: {told(error)}", hint="correct it") from error
    if not hasattr(found, attribute):
        classes = [key for key, value in vars(found).items() if isinstance(value, type)]
        raise UsageError(f"the method {name} cannot be imported: {unknown('class', attribute, classes)}")
    if not callable(getattr(found, attribute)):
        raise UsageError(f"the method {name} is no class", hint="name one as module:Class; see docs/methods.md")
    return getattr(found, attribute)


def make_method(config: DesignConfig, *, fix: str = "") -> Method:
    """The method of a run. `fix` is what to do once a fault in it is mended.

    Raises: UsageError: it is not made as methods are; faults in what it answers are told as they come (see `Asked`).
    """
    return Asked(load_method(config.method), config, own=config.method not in METHODS, fix=fix)


def require_method(config: DesignConfig) -> None:
    """Make the method and ask it for a first round, to see that it can be done.

    Raises: UsageError: there is no such method, it is at fault, or it is one that another command uses.
    """
    load_method(config.method)
    if config.method in OF_COMMANDS:
        setting, command = OF_COMMANDS[config.method]
        if not getattr(config, setting):
            raise UsageError(f"the method {config.method} does not design from nothing", hint=command)
    if getattr(load_method(config.method), "judged", False) != (config.feedback in JUDGED):
        raise UsageError(
            f"the method {config.method} does not work with --feedback {config.feedback}",
            hint="people and proxies (human, proxy) judge for the method icpl, and for no other; it takes nothing else",
        )
    make_method(config).ask(1)


def settings_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` settings of a run (None: not given), completed by what its method is meant to have.

    Raises: UsageError: there is no such method, or what it is meant to have are no settings.
    """
    defaults = dict(_defaults(name))
    model = given.get("model")
    llm = model.get("llm") if isinstance(model, Mapping) else getattr(model, "llm", None)
    if llm in (None, "builtin"):
        defaults = {key: value for key, value in defaults.items() if key not in NEED_A_MODEL}
    return defaults | {"method": name} | {key: value for key, value in given.items() if value is not None}


def _defaults(name: str) -> Mapping[str, Any]:
    defaults = getattr(load_method(name), "defaults", {})
    if not isinstance(defaults, Mapping):
        raise UsageError(f"the method {name} has `defaults` that are no dict", hint="settings by name; docs/methods.md")
    for setting in defaults:
        if setting not in DesignConfig.model_fields:
            said = unknown("setting", str(setting), DesignConfig.model_fields)
            raise UsageError(
                f"the method {name} has `defaults` for an {said}", hint="correct it; docs/configuration.md"
            )
    return defaults


def templates_of(method: object) -> str:
    """Folder of the prompts that a method uses."""
    return getattr(method, "templates", "rewardsmith")
