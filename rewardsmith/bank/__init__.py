"""Recorded transitions: whole episodes as rewards see them, made once per environment and counted as env steps.

The critic checks candidates on a `Bank`; `record_bank` makes one from the random policy or a given one.
"""

from rewardsmith.bank.bank import Bank, concatenate
from rewardsmith.bank.record import Policy, random_action, record_bank
from rewardsmith.bank.simple import record_simple

__all__ = ["Bank", "Policy", "concatenate", "random_action", "record_bank", "record_simple"]
