"""Quantized weights in TF.js files: eight or sixteen bits between a tensor's smallest and largest value, or float16.

The codes are those of the published converter (python/tensorflowjs/quantization.py, after TensorFlow Lite's
NudgeQuantizationRange): q = round((x - min) / scale) with scale = (largest - smallest) / (2^bits - 1), and where the
range holds 0, min is moved by up to half a step so that 0 has a code of its own. TF.js computes q * scale + min in
double precision when it loads the file, and calculates in float32 from there.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from exporter.formats import Option, Refused
from exporter.formats import _quantization as judged
from exporter.formats._tfjs_weights import Weight, decoded
from exporter.tensors import Array
from exporter.text import did_you_mean

_DTYPES = ("float16", "uint8", "uint16")
VARIANTS = tuple(f"quantize={dtype}" for dtype in _DTYPES)
_ALL = "*"
_LISTED = 20  # names in a message
# dB between the values of a tensor and their rounding, below which it is worth a line: a tensor of one magnitude has
# 73 in float16 (less only where it runs out of exponents), and without outliers about 40 in uint8 and 89 in uint16
_EXPECTED_DB = {"float16": 50.0, "uint8": 20.0, "uint16": 60.0}
_LEAVE = "leave it float with quantize-only, which takes the names of the others"


@dataclass(frozen=True)
class Rule:
    """What is stored as `dtype`: the weights that fit one of the globs; without any, those that no other rule names."""

    dtype: str
    globs: tuple[str, ...] = ()


def _terms(text: str) -> tuple[Rule, ...]:
    """Parse the option `quantize`. Raises ValueError with a sentence."""
    if text == "none":
        return ()
    found = []
    for term in text.split("+"):
        dtype, colon, glob = term.partition(":")
        if dtype not in _DTYPES or (colon and not glob):
            raise ValueError(
                f"expected none, {', '.join(_DTYPES[:-1])} or {_DTYPES[-1]}, or terms such as uint8:*kernel+float16, "
                f"found {text!r}"
            )
        found.append(Rule(dtype, (glob,) if colon else ()))
    if sum(not rule.globs for rule in found) > 1:
        raise ValueError(f"expected a glob in all terms but one, such as uint8:*kernel+float16, found {text!r}")
    return tuple(found)


def _globs(text: str) -> tuple[str, ...]:
    """Parse the option `quantize-only`. Raises ValueError with a sentence."""
    found = tuple(text.split("+"))
    if not all(found):
        raise ValueError(f"expected names of weights with * and ?, joined by +, found {text!r}")
    return found


OPTIONS: Mapping[str, Option] = {
    "quantize": Option(
        "none", "store float32 weights as float16, uint8 or uint16; several as uint8:GLOB+float16", _terms
    ),
    "quantize-only": Option(
        _ALL, "weights to quantize, as globs over their names joined by +, e.g. dense*+*/kernel", _globs
    ),
}


def check_options(options: Mapping[str, str]) -> None:
    """Raises ValueError where `quantize-only` has nothing to choose for."""
    if options.get("quantize-only", _ALL) == _ALL:
        return
    terms = _terms(options.get("quantize", "none"))
    if not terms:
        raise ValueError("quantize-only says which weights, and nothing says to what: add quantize=uint8")
    if all(rule.globs for rule in terms):
        raise ValueError("quantize-only is for a quantize without a glob, and each of its terms has one")


def rules(options: Mapping[str, str]) -> tuple[Rule, ...]:
    """What the recipe's options ask for; empty if nothing is to be quantized."""
    only = _globs(options.get("quantize-only", _ALL))
    chosen = () if only == (_ALL,) else only
    return tuple(rule if rule.globs else Rule(rule.dtype, chosen) for rule in _terms(options.get("quantize", "none")))


def quantizable(weight: Weight) -> bool:
    """Whether there is anything to gain: float32, of more than one number, which its entry in model.json outweighs."""
    return weight.dtype == "float32" and weight.data.size > 1


def check_globs(asked: Iterable[Rule], weights: Iterable[Weight]) -> None:
    """Raises Refused for a glob that fits none of the weights, with those there are."""
    names = [w.name for w in weights if quantizable(w)]
    for glob in (glob for rule in asked for glob in rule.globs):
        if not any(_fits(name, glob) for name in names):
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            raise Refused(
                f"{glob!r} fits the name of no weight that can be quantized{did_you_mean(glob, names)}; they are: "
                f"{', '.join(names[:_LISTED]) or 'none'}{more}"
            )


def quantized(weights: Sequence[Weight], asked: Sequence[Rule], keep: Set[str]) -> list[Weight]:
    """The weights with codes for those that a rule asks for, except those whose names are in `keep`.

    Raises:
        Refused: two rules want one weight in different ways, or it holds values that the dtype has no code for.
    """
    found = []
    for weight in weights:
        dtype = _dtype_for(weight.name, asked) if quantizable(weight) and weight.name not in keep else None
        found.append(weight if dtype is None else _encoded(weight, dtype))
    return found


def _dtype_for(name: str, asked: Sequence[Rule]) -> str | None:
    named = sorted({rule.dtype for rule in asked if any(_fits(name, glob) for glob in rule.globs)})
    if len(named) > 1:
        raise Refused(f"weight {name!r} is to be {' and '.join(named)} at once; narrow the globs of the recipe")
    rest = (rule.dtype for rule in asked if not rule.globs)
    return named[0] if named else next(rest, None)


def _fits(name: str, glob: str) -> bool:
    """Whether a glob fits a name or what follows one of its slashes: `dense*` fits `model/dense/kernel`."""
    parts = name.split("/")
    return any(fnmatch.fnmatchcase("/".join(parts[begin:]), glob) for begin in range(len(parts)))


def _encoded(weight: Weight, dtype: str) -> Weight:
    data = weight.data
    if not np.isfinite(data).all():
        raise Refused(
            f"weight {weight.name!r} holds values that are not finite, which {dtype} cannot stand for; {_LEAVE}"
        )
    if dtype == "float16":
        with np.errstate(over="ignore"):
            halves = data.astype(np.float16)
        if not np.isfinite(halves).all():
            raise Refused(
                f"weight {weight.name!r} holds {data.reshape(-1)[np.abs(data).argmax()]:g}, and float16 ends at 65504, "
                f"so it would become infinite; use uint16, or {_LEAVE}"
            )
        return replace(weight, stored=halves, quantization={"dtype": dtype, "original_dtype": "float32"})
    codes, scale, low = _affine(data, np.dtype(dtype))
    entry = {"dtype": dtype, "original_dtype": "float32", "scale": scale, "min": low}
    return replace(weight, stored=codes, quantization=entry)


def _affine(data: Array, dtype: np.dtype[Any]) -> tuple[Array, float, float]:
    """Codes, scale and minimum of finite values; of a constant zeros, with itself as minimum."""
    low, high = float(data.min()), float(data.max())
    if low == high:
        return np.zeros(data.shape, dtype), 1.0, low
    largest = int(np.iinfo(dtype).max)
    scale = (high - low) / largest
    if low <= 0 <= high:
        # the very product that the reader forms from the code of 0, so that it cancels out
        low = 0.0 - round(-low / scale) * scale
    codes = np.rint((data.astype(np.float64) - low) / scale)
    return np.clip(codes, 0, largest).astype(dtype), scale, low


def stored_weight(spec: Mapping[str, Any], stored: Array) -> judged.Weight:
    """A weight of a file as the gates see it: its values, and the distance of neighbouring ones if it is quantized.

    A constant has a distance of 0: its minimum is its value, so nothing was rounded.
    """
    values = decoded(spec, stored)
    quantization = spec.get("quantization")
    if quantization is None:
        return judged.Weight(str(spec["dtype"]), values, None)
    if quantization["dtype"] == "float16":
        return judged.half(values)
    constant = not stored.size or stored.min() == stored.max()
    step = np.float64(0 if constant else quantization["scale"])
    return judged.Weight(quantization["dtype"], values, np.broadcast_to(step, values.shape))


def facts(weights: Mapping[str, Weight]) -> dict[str, Any]:
    """What is really quantized, for the report, without the size of the files. Raises Refused if nothing is."""
    seen = {name: stored_weight(w.spec, w.codes) for name, w in weights.items() if w.dtype == "float32"}
    return judged.facts("exporter", seen, {}, 0)


def notes(weights: Iterable[Weight]) -> tuple[str, ...]:
    """One sentence for each weight whose range the dtype does not suit."""
    return tuple(note for w in weights if w.quantization and (note := _note(w)))


def _note(weight: Weight) -> str:
    """What is lost beyond the ordinary: most values are taken for 0, or rounding is in the order of the values."""
    dtype = weight.quantization["dtype"]
    source, values = weight.data.astype(np.float64), decoded(weight.spec, weight.codes).astype(np.float64)
    noise, signal = float(np.mean((values - source) ** 2)), float(np.mean(source**2))
    nonzero = int(np.count_nonzero(source))
    gone = nonzero - int(np.count_nonzero(values[source != 0]))
    if not noise or (2 * gone <= nonzero and 10 * np.log10(signal / noise) >= _EXPECTED_DB[dtype]):
        return ""
    return (
        f"weight {weight.name!r} does not suit {dtype}: of its values from {source.min():.3g} to {source.max():.3g}, "
        f"{gone} of {nonzero} become 0, and the rest is {10 * np.log10(signal / noise):.0f} dB above its rounding; "
        f"{_LEAVE}"
    )
