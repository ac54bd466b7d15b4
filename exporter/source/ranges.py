"""Which made-up values of each input mean something: bounds of own data, else of what the input itself reaches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exporter import tensors
from exporter.model import Json
from exporter.source.graph_reach import graph_facts
from exporter.source.reach import WORDS, layer_facts
from exporter.source.source import Source
from exporter.tensors import Tensors


def input_facts(source: Source, signature: str, own: Tensors | None) -> Json:
    """What honest made-up values look like, by input: `low` and `high`, or `words`, and `why`.

    `whole` says that a floating-point input takes whole numbers, `values` lists them where others are unknown to the
    model. An input that is missing may take anything, or nobody knows.
    """
    call = source.calls[signature]
    given = own or {}
    out: Json = {n: _own_fact(np.asarray(given[n])) for n in call.specs if n in given and np.asarray(given[n]).size}
    unknown = [name for name in call.specs if name not in out]
    if not unknown:
        return out
    names = call.layer_names.inputs if call.layer_names is not None else {}
    found = layer_facts(source.keras_model, names) if source.keras_model is not None else {}
    if any(not found.get(name) for name in unknown):
        traced = graph_facts(source.concrete(signature), unknown)
        found = {name: found.get(name) or traced.get(name, []) for name in unknown}
    for name in unknown:
        fact = combined([f for f in found.get(name, ()) if ("words" in f) == (call.specs[name].dtype.name == "string")])
        if fact is not None:
            out[name] = fact
    return out


def _own_fact(values: np.ndarray) -> Json:
    if values.dtype.kind in "OSU":
        words = tensors.as_strings(values).reshape(-1).tolist()
        return {"words": sorted({w.decode("latin-1") for w in words})[:WORDS], "why": "own data"}
    return {"low": values.min().item(), "high": values.max().item(), "why": "own data"}


def combined(facts: Sequence[Json]) -> Json | None:
    """What all of several readers of one input take; None where they have nothing in common."""
    if not facts:
        return None
    if "words" in facts[0]:
        return facts[0]
    low, high = max(fact["low"] for fact in facts), min(fact["high"] for fact in facts)
    listed = [set(fact["values"]) for fact in facts if "values" in fact]
    deciding = [f for f in facts if "values" in f] or [f for f in facts if f["high"] == high]
    deciding += [f for f in facts if f["low"] == low and low > min(other["low"] for other in facts)]
    out: Json = {"low": low, "high": high, "why": " and ".join(dict.fromkeys(f["why"] for f in deciding))}
    if any(fact.get("whole") for fact in facts):
        out["whole"] = True
    if listed:
        out["values"] = sorted(value for value in set.intersection(*listed) if low <= value <= high)
    return out if low <= high and out.get("values") != [] else None
