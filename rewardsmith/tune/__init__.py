"""Numbers from the optimizer: a reward's parameters tuned without asking a model again.

`screen` draws variants and keeps those that rank recorded episodes as the metric does; `fit` fits parameters to votes
by gradients through the graph; `with_defaults` writes the numbers into the reward's source.
"""

from rewardsmith.tune.agreement import Agreement, Agreements, agreement
from rewardsmith.tune.choosing import Choice, choose
from rewardsmith.tune.fit import Fit, Likelihood, fit
from rewardsmith.tune.rewrite import with_defaults, with_parameters
from rewardsmith.tune.segments import RewardFails, Segments
from rewardsmith.tune.told import FittedParameter
from rewardsmith.tune.variants import Screening, Variant, screen, tunable, variants
from rewardsmith.tune.votes import Votes

__all__ = [
    "Agreement",
    "Agreements",
    "Choice",
    "Fit",
    "FittedParameter",
    "Likelihood",
    "RewardFails",
    "Screening",
    "Segments",
    "Variant",
    "Votes",
    "agreement",
    "choose",
    "fit",
    "screen",
    "tunable",
    "variants",
    "with_defaults",
    "with_parameters",
]
