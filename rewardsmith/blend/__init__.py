"""Blending the environment's own reward with designed ones: their weights follow from what they do for the first.

`blend` learns the weights beside a policy (BARFI, arXiv 2310.19007); `combine.py` makes one reward graph of them.
"""

from rewardsmith.blend.bilevel import Blend, BlendConfig, BlendPoint, blend
from rewardsmith.blend.combine import Margin, conjunction, margin_of, weighted_sum
from rewardsmith.blend.hypergradient import hypergradient

__all__ = [
    "Blend",
    "BlendConfig",
    "BlendPoint",
    "Margin",
    "blend",
    "conjunction",
    "hypergradient",
    "margin_of",
    "weighted_sum",
]
