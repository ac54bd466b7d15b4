"""What TF.js layers lacks and what takes its place, exactly: one module per family, all of them listed here.

The first rewrite that applies to a part wins, and what it gives is rewritten in turn (`_tfjs_parts.expand`).
"""

from collections.abc import Sequence

from exporter.formats._tfjs_parts import Rewrite
from exporter.formats._tfjs_rewrites import (
    activations,
    applications,
    attention,
    convolutions,
    layouts,
    normalizations,
    operations,
    preprocessing,
    recurrent,
    shapes,
)

REWRITES: Sequence[Rewrite] = (
    *operations.REWRITES,
    *layouts.REWRITES,
    *shapes.REWRITES,
    *activations.REWRITES,
    *convolutions.REWRITES,
    *normalizations.REWRITES,
    *preprocessing.REWRITES,
    *recurrent.REWRITES,
    *attention.REWRITES,
    *applications.REWRITES,
)
