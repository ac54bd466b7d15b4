"""The order of inputs and outputs, which is a part of what an artifact promises.

A page calls `predict([a, b])`, a phone `run(inputs)`. Cells feed and read by name, so they would be green whatever the
order. A worker therefore lists the inputs and outputs of what it has loaded in the order in which a caller without
names feeds and reads them, and here that is compared with the source's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.model import NameMap, Signature


def misplaced(signature: Signature, names: NameMap, reply: Mapping[str, Any]) -> str:
    """What a `load` reply lists in another order than the source, in words; empty if nothing.

    Other names than those of the record are not judged here: there is no order of them to compare.
    """
    sides = (
        ("takes", [names.inputs[s.name] for s in signature.inputs], reply["inputs"]),
        ("gives", [names.outputs[s.name] for s in signature.outputs], reply["outputs"]),
    )
    found = [_difference(verb, wanted, [s["name"] for s in listed]) for verb, wanted, listed in sides]
    return "; ".join(filter(None, found))


def _difference(verb: str, wanted: Sequence[str], shown: Sequence[str]) -> str:
    if sorted(shown) != sorted(wanted) or list(shown) == list(wanted):
        return ""
    return f"the artifact {verb} {', '.join(shown)} by position, the source {', '.join(wanted)}"
