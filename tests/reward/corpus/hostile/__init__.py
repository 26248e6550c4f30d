"""Rewards that mean harm, by category. Mere mistakes are in `refused.py`."""

from tests.reward.corpus.hostile.case import Case, Layer
from tests.reward.corpus.hostile.disguise import INJECTION, UNICODE
from tests.reward.corpus.hostile.escape import ESCAPE, NATIVE
from tests.reward.corpus.hostile.exhaustion import RESOURCE
from tests.reward.corpus.hostile.influence import BATCH, RANDOMNESS, SETTINGS, TAMPERING, TRIGGERS, VERDICTS
from tests.reward.corpus.hostile.reach import PROCESS, WRITE
from tests.reward.corpus.hostile.theft import NETWORK, SECRETS

HOSTILE: dict[str, dict[str, Case]] = {
    "escape": ESCAPE,
    "native code": NATIVE,
    "secrets": SECRETS,
    "network": NETWORK,
    "write": WRITE,
    "process": PROCESS,
    "resource": RESOURCE,
    "tampering": TAMPERING,
    "global settings": SETTINGS,
    "forged verdicts": VERDICTS,
    "non-determinism": RANDOMNESS,
    "batch coupling": BATCH,
    "late triggers": TRIGGERS,
    "unicode": UNICODE,
    "injection": INJECTION,
}

__all__ = ["Case", "HOSTILE", "Layer"]
