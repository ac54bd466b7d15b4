"""SavedModel: every signature in one directory, under names that no process counter decides.

The file is gated before it counts as written. Python's loader resolves variables through the object graph, while
session loaders (TensorFlow Java, Serving, the C API) run the restore ops; a SavedModel can be right for the first
and broken for the second, so both are run on the same inputs here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.formats import Format, Written
from exporter.model import Entry, NameMap
from exporter.text import natural

if TYPE_CHECKING:
    from exporter.model import Signature
    from exporter.source.source import Source
    from exporter.tensors import Tensors


def write(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Copy the staged SavedModel and gate it in a session loader.

    Raises:
        RuntimeError: a session loader cannot load or run it, or answers something else.
    """
    import tensorflow as tf

    shutil.copytree(source.saved_model, directory, dirs_exist_ok=True)
    for signature in source.signatures.values():
        session_gate(directory, signature, probe(source, signature), source.random.get(signature.name, frozenset()))
    return Written(
        {n: Entry(".", n, NameMap.identity(s)) for n, s in source.signatures.items()},
        versions={"tensorflow": tf.__version__},
        needs=tuple(need for signature in source.signatures.values() for need in _by_name(signature)),
    )


def _by_name(signature: Signature) -> Iterator[str]:
    """What a caller must know whose order of inputs or outputs is the source's, where names do not tell it."""
    sides = (("feed", "takes", signature.inputs), ("read", "gives", signature.outputs))
    for verb, does, specs in sides:
        names = [s.name for s in specs]
        if names != sorted(names, key=natural):
            yield (
                f"{verb} by name: a SavedModel has no order, and the source {does} {', '.join(names)} "
                f"(signature {signature.name!r})"
            )


def probe(source: Source, signature: Signature) -> Tensors:
    """The first row of the example inputs; without any, zeros in the declared shapes, 1 for what is dynamic."""
    from exporter.tensors import zeros

    examples = source.examples.get(signature.name)
    if examples is None:
        return {s.name: zeros(s.dtype, tuple(1 if d is None else d for d in s.shape or ())) for s in signature.inputs}
    return {s.name: examples[s.name][:1] if signature.batched else examples[s.name] for s in signature.inputs}


def session_gate(directory: Path, signature: Signature, inputs: Tensors, random: frozenset[str] = frozenset()) -> None:
    """Run one signature through a session loader and through the Python loader, and compare what is not random."""
    import numpy as np
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(directory))
        found = meta.signature_def[signature.name]
        feeds = {found.inputs[n].name: a for n, a in inputs.items()}
        got: dict[str, Any] = session.run({n: t.name for n, t in found.outputs.items()}, feeds)
    function = tf.saved_model.load(str(directory)).signatures[signature.name]
    expected = function(**{n: tf.constant(a) for n, a in inputs.items()})
    for name, tensor in expected.items():
        want = tensor.numpy()
        if name in random:
            continue
        same = (
            np.array_equal(got[name], want)
            if want.dtype.kind not in "fc"
            else np.allclose(got[name], want, rtol=1e-4, atol=1e-5, equal_nan=True)
        )
        if not same:
            raise RuntimeError(f"a session loader computes something else for output {name!r} of {signature.name!r}")


FORMAT = Format("saved-model", "TensorFlow SavedModel directory", write, order=30, positional=False)
