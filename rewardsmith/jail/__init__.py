"""The jail: runs `module.run(payload) -> bytes` in a short-lived, locked process. Generic: it knows nothing of rewards.

A warm zygote imports the module once; every call is one fork of it that locks itself before it looks at the payload.
What comes back is untrusted bytes. `parent.py` is the outside, `zygote.py` the inside, `lock.py` the lock between them.
"""

from rewardsmith.jail.parent import Jail
from rewardsmith.jail.records import JailFault, JailKilled, JailLimits, JailOutputError, JailRung, JailTimeout
from rewardsmith.jail.rungs import probe

__all__ = ["Jail", "JailFault", "JailKilled", "JailLimits", "JailOutputError", "JailRung", "JailTimeout", "probe"]
