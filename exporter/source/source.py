"""A source that has been opened: its signatures, its reference outputs, and what the writers start from.

The model is loaded, traced and frozen at most once. At opening, everything a later process needs is staged as
files (`model.keras` where there is a Keras model, and `saved_model/` unless that file is known to load), so that a
worker that replaces a crashed one continues with the very same weights.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.errors import SourceError
from exporter.formats import Refused
from exporter.model import Json, NameMap, Signature
from exporter.selection import Scopes, Traced
from exporter.source.keras_fixes import fixed_keras
from exporter.source.scopes import Calls, graph_scopes, producers, recorded
from exporter.source.trace import STATE_WRITES, FrozenGraph, freeze, graph_ops, named_function, signature_of
from exporter.tensors import Tensors, as_strings
from exporter.text import cause

Shapes = Mapping[str, tuple[int | None, ...]]


@dataclass(frozen=True)
class NamedCall:
    """One signature as a function of keyword tensors; `layer_names` only for Keras models."""

    specs: Mapping[str, tf.TensorSpec]
    outputs: tuple[str, ...] | None
    call: Callable[..., Mapping[str, tf.Tensor]]
    layer_names: NameMap | None = None


@dataclass
class Source:
    """What the writers see. `trackable` is the object whose resources (tables) a SavedModel must keep alive."""

    calls: Mapping[str, NamedCall]
    trackables: tuple[Any, ...]
    variables: tuple[Any, ...]
    staging: Path
    keras_model: Any = None
    no_keras: str = "the source is not a Keras model (a SavedModel or tf.Module has no Keras configuration)"
    needs_code: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    examples: Mapping[str, Tensors] = field(default_factory=dict)  # inputs that the source can run, by signature
    calibration: Mapping[str, Tensors] = field(default_factory=dict)  # rows to measure activations on, by signature
    derived: dict[str, Any] = field(default_factory=dict)  # what several writers start from, by its maker's name
    unsaved: str = ""  # why Keras cannot save the model
    keep_float: tuple[str, ...] = ()  # layers that quantized formats leave alone
    metadata: Mapping[str, Any] = field(default_factory=dict)  # the user's, for formats that carry it
    random: Mapping[str, frozenset[str]] = field(default_factory=dict)  # outputs that differ from call to call
    reloads: bool = False  # the staged Keras file is known to load again
    _signatures: dict[str, Signature] = field(default_factory=dict)
    _traces: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    _frozen: dict[tuple[Any, ...], FrozenGraph] = field(default_factory=dict)
    _calls: dict[tuple[Any, ...], Calls] = field(default_factory=dict)
    _states: dict[str, list[tuple[Any, Any]]] = field(default_factory=dict)

    @property
    def signatures(self) -> dict[str, Signature]:
        """Signature name -> signature, in the source's order; derived once, from the trace."""
        if not self._signatures:
            for name, call in self.calls.items():
                concrete = self.concrete(name)
                outputs = call.outputs or tuple(concrete.structured_outputs)
                derived = signature_of(name, concrete, call.specs, outputs)
                self._signatures[name] = _with_keras_shapes(derived, self.keras_model, call)
        return self._signatures

    def mark_independent(self, names: Collection[str]) -> None:
        """Note that the inputs of some signatures are no one batch: the source took them in different numbers."""
        for name in names:
            self._signatures[name] = dataclasses.replace(self.signatures[name], independent=True)

    @property
    def saved_model(self) -> Path:
        """The staged SavedModel with every signature; made where it is first needed."""
        return self._stage_saved_model()

    @property
    def layers_file(self) -> Path:
        """The staged name scopes of a Keras model's layers."""
        return self.staging / "layers.json"

    @property
    def keras_file(self) -> Path:
        return self.staging / "model.keras"

    def keras_names(self, signature: str) -> NameMap:
        """Signature names -> names of the Keras input and output layers (a repeated name gets `/1`, `/2` …)."""
        names = self.calls[signature].layer_names
        if names is None:
            raise Refused("the source is not a Keras model, so it has no Keras layers")
        return names

    def concrete(self, signature: str, pinned: Shapes | None = None) -> Any:
        """The traced function of one signature, with some input shapes fixed if `pinned` says so."""
        key = (signature, tuple(sorted((pinned or {}).items())))
        if key not in self._traces:
            call = self.calls[signature]
            specs = {n: tf.TensorSpec((pinned or {}).get(n, s.shape), s.dtype, name=n) for n, s in call.specs.items()}
            with fixed_keras(), recorded(self.keras_model) as self._calls[key]:
                self._traces[key] = named_function(signature, call.call, specs)
        return self._traces[key]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of all signatures; without Keras, the name scopes of their graphs."""
        return tuple(dict.fromkeys(layer for name in self.calls for layer in self.traced(name).layers))

    def layer_variables(self) -> dict[str, list[Any]]:
        """The Keras variables of each of `layers`; those of layers inside of others belong to both."""
        found: dict[str, list[Any]] = {}
        for name in self.calls:
            self.concrete(name)
            for layer, called in self._calls[name, ()].objects.items():
                found.setdefault(layer, []).extend(called.weights)
        return found

    def traced(self, signature: str, pinned: Shapes | None = None) -> Traced:
        """Which names of one trace's graph belong to which layer."""
        concrete = self.concrete(signature, pinned)
        calls = self._recorded(signature, pinned)
        try:
            frozen = self.frozen(signature, pinned, lower_control_flow=False)
            graph, outputs, bodies = frozen.graph_def, frozen.outputs, []
        except Refused:  # tables: the calls of functions stay, and what is in them
            graph = concrete.graph.as_graph_def()
            outputs = dict(zip(sorted(concrete.structured_outputs), (t.name for t in concrete.outputs), strict=True))
            bodies = [function.node_def for function in graph.library.function]
        layers, weights = ({n: tuple(s) for n, s in calls[kind].items()} for kind in ("layers", "weights"))
        found: Scopes = layers or graph_scopes([graph.node, *bodies])
        return Traced(found, producers(graph, outputs), weights, frozenset(calls["weighted"]))

    def _recorded(self, signature: str, pinned: Shapes | None = None) -> Json:
        """The calls of layers in one trace."""
        self.concrete(signature, pinned)
        calls = self._calls[signature, tuple(sorted((pinned or {}).items()))].to_json()
        if not calls["layers"] and self.layers_file.exists():
            # a model object whose SavedModel is all that could be sent here
            calls = json.loads(self.layers_file.read_text())[signature]
        return calls

    def layer_scopes(self, signature: str) -> dict[str, tuple[str, ...]]:
        """Layer -> the name scopes of its calls; empty without Keras."""
        return {name: tuple(scopes) for name, scopes in self._recorded(signature)["layers"].items()}

    def frozen(self, signature: str, pinned: Shapes | None = None, *, lower_control_flow: bool = True) -> FrozenGraph:
        """The frozen graph of one signature, its names in signature order. Raises `Refused` as `trace.freeze`."""
        key = (signature, tuple(sorted((pinned or {}).items())), lower_control_flow)
        if key not in self._frozen:
            graph = freeze(self.concrete(signature, pinned), lower_control_flow=lower_control_flow)
            contract = self.signatures[signature]
            self._frozen[key] = FrozenGraph(
                graph.graph_def,
                {s.name: graph.inputs[s.name] for s in contract.inputs},
                {s.name: graph.outputs[s.name] for s in contract.outputs},
                graph.function,
            )
        return self._frozen[key]

    def is_stateful(self, signature: str) -> bool:
        """True when running the signature changes a variable."""
        return any(op in graph_ops(self.concrete(signature)) for op in STATE_WRITES)

    def rewind(self) -> None:
        """Give every variable that running a signature changes the value it had when the source was opened.

        Not only calls move them: Keras draws seeds for whatever it builds from a generator that models share.
        """
        for name in self.calls:
            if name not in self._states:
                changed = self.concrete(name).graph.variables if self.is_stateful(name) else ()
                self._states[name] = [(v, v.numpy()) for v in changed]
            for variable, value in self._states[name]:
                variable.assign(value)

    def reference(self, signature: str, inputs: Tensors) -> Tensors:
        """The source's own outputs, eager on the CPU, in inference mode and in their own dtypes.

        Where a layer of Keras computes other dtypes eagerly than in `predict` (Resizing of bytes), it is `predict`'s.
        Every call starts from the state the source was opened with.

        Raises:
            SourceError: the model itself cannot run these inputs.
        """
        return self.successive(signature, inputs, 1)[0]

    def successive(self, signature: str, inputs: Tensors, count: int) -> list[Tensors]:
        """As `reference`, several times in a row; a later call finds the state that an earlier one left."""
        compute = self.calls[signature].call
        found = self._computed(signature, inputs, compute, count)
        declared = {s.name: s.dtype for s in self.signatures[signature].outputs}
        if any(array.dtype.kind in "fiub" and array.dtype != declared[name] for name, array in found[0].items()):
            return self._computed(signature, inputs, self.concrete(signature), count)
        return found

    def _computed(
        self, signature: str, inputs: Tensors, compute: Callable[..., Mapping[str, Any]], count: int
    ) -> list[Tensors]:
        call = self.calls[signature]
        self.rewind()
        try:
            with tf.device("/CPU:0"):
                tensors = {n: tf.constant(inputs[n], s.dtype) for n, s in call.specs.items()}
                results = [compute(**tensors) for _ in range(count)]
        except Exception as error:
            raise SourceError(
                "reference",
                f"the source itself fails on these inputs of signature {signature!r}: {first_line(error)}",
                "give inputs the model accepts with --inputs, or bounds with --range",
            ) from error
        finally:
            self.rewind()
        return [_arrays(result) for result in results]

    @property
    def names_file(self) -> Path:
        """The staged names of inputs and outputs: those of the Keras model may be others."""
        return self.staging / "names.json"

    def stage(self) -> None:
        """Write what a later process continues from, once.

        That is `model.keras`, if Keras can save the model, and `saved_model/` if the former may not reload.
        """
        self.rewind()
        if not self.names_file.exists():
            self.names_file.write_text(json.dumps({n: s.to_json() for n, s in self.signatures.items()}))
        if self.keras_model is not None and not self.keras_file.exists():
            try:
                self.keras_model.save(self.keras_file)
            except Exception as error:  # a layer whose arguments cannot be written; other formats need none of them
                self.unsaved = first_line(error)
        if self.unsaved or not self.reloads:
            self._stage_saved_model()
        if self.keras_model is not None and not self.layers_file.exists():
            for name in self.calls:
                self.concrete(name)
            self.layers_file.write_text(json.dumps({name: self._calls[name, ()].to_json() for name in self.calls}))

    def _stage_saved_model(self) -> Path:
        path = self.staging / "saved_model"
        if not path.exists():
            # a process that continues after this one must not find half of it
            partial = path.with_name(f"{path.name}.partial")
            self.rewind()
            save_saved_model(self, partial)
            partial.rename(path)
        return path


def _arrays(results: Mapping[str, Any]) -> Tensors:
    out: Tensors = {}
    for name, tensor in results.items():
        array = tensor.numpy()
        out[name] = as_strings(array) if tensor.dtype == tf.string else np.asarray(array)
    return out


def first_line(error: BaseException) -> str:
    """What an exception says in one line: the cause behind what TensorFlow and Keras put before it."""
    return cause(str(error)) or type(error).__name__


def save_saved_model(source: Source, path: Path) -> None:
    """Save every signature of a source as a SavedModel whose names are the signature's.

    The raw variables are tracked as well as their owner: Keras 3's own Variable exports a second tf.Variable, and
    a session loader (TensorFlow Java, Serving, the C API) restores only that copy.
    """
    module = tf.Module()
    module.source = list(source.trackables)
    signatures = {name: source.concrete(name) for name in source.calls}
    # those of the graphs too: Keras does not list the state that a recurrent layer keeps between calls
    found = (*source.variables, *(v for concrete in signatures.values() for v in concrete.graph.variables))
    module.raw_variables = list({id(v): v for v in found}.values())
    tf.saved_model.save(module, str(path), signatures=signatures)


def _with_keras_shapes(signature: Signature, model: Any, call: NamedCall) -> Signature:
    """Static output dimensions that Keras knows and TensorFlow's shape inference loses behind loops."""
    functional = getattr(model, "_functional", None) or model
    tensors = getattr(functional, "outputs", None)
    if not tensors or call.layer_names is None or len(tensors) != len(signature.outputs):
        return signature
    merged = []
    for spec, tensor in zip(signature.outputs, tensors, strict=True):
        known = tuple(tensor.shape)
        if spec.shape is None or len(spec.shape) != len(known):
            merged.append(spec)
            continue
        shape = tuple(d if d is not None else k for d, k in zip(spec.shape, known, strict=True))
        merged.append(type(spec)(spec.name, spec.dtype, (spec.shape[0], *shape[1:]) if shape else shape))
    return Signature(signature.name, signature.inputs, tuple(merged))
