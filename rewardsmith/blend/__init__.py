"""Blending the environment's own reward with designed ones: their weights follow from what they do for the first.

`blend` learns the weights beside a policy (BARFI, arXiv 2310.19007); `weighted_sum` makes one reward graph of them.
"""

from rewardsmith.blend.bilevel import Blend, BlendConfig, BlendPoint, blend
from rewardsmith.blend.hypergradient import hypergradient
from rewardsmith.blend.weighted import weighted_sum

__all__ = ["Blend", "BlendConfig", "BlendPoint", "blend", "hypergradient", "weighted_sum"]
