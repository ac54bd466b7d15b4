"""The inspect worker: what an artifact says of itself, read from its file without running it.

It is a process of its own because reading a SavedModel's protocol buffers imports TensorFlow.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter import tensors
from exporter.artifact_path import identify
from exporter.errors import SourceError
from exporter.formats.registry import is_positional
from exporter.model import Json, Recipe
from exporter.parity.weights import as_tensors
from exporter.tensors import Tensors
from exporter.text import natural
from exporter.workers.importing import import_tensorflow
from exporter.workers.serve import Operation, find_operation, serve


def inspect(path: Path) -> Json:
    """Facts of one artifact or bundle; inputs and outputs by position, where `positional` says that there is one.

    Raises:
        SourceError: the file is not what its name says.
    """
    if path.is_dir() and (path / "bundle.json").is_file():
        return _bundle(path)
    artifact = identify(path)
    size = sum(f.stat().st_size for f in artifact.path.rglob("*") if f.is_file()) if artifact.path.is_dir() else 0
    base: Json = {
        "format": artifact.format,
        "bytes": size or artifact.path.stat().st_size,
        "signatures": [],
        "positional": is_positional(Recipe(artifact.format)),
    }
    try:
        return {**base, **_READERS[artifact.format](artifact.path)}
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(
            "unreadable-file", f"{path} cannot be read as {artifact.format}: {type(error).__name__}: {error}", ""
        ) from error


def _bundle(path: Path) -> Json:
    from exporter.bundle import Bundle

    bundle = Bundle.load(path)
    states = {a.recipe.id: a.status for a in bundle.artifacts}
    return {
        "title": "bundle",
        "format": "bundle",
        "bytes": sum(a.bytes for a in bundle.artifacts),
        "signatures": [s.to_json() for s in bundle.signatures],
        "positional": True,
        "facts": {
            "source": bundle.source["text"],
            "artifacts": ", ".join(f"{k} ({v})" for k, v in states.items()),
            "cases": ", ".join(f"{c.signature}/{c.name}" for c in bundle.cases),
            "reference": ", ".join(f"{k} {v}" for k, v in bundle.reference["versions"].items()),
        },
    }


def _tflite(path: Path) -> Json:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    types = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    builtin = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}

    def op_name(code: Any) -> str:
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        custom = code.customCode.decode() if code.customCode else ""
        return f"custom:{custom}" if builtin[number] == "CUSTOM" else builtin[number]

    def spec(graph: Any, entry: Any) -> Json:
        tensor = graph.tensors[entry.tensorIndex]
        shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
        dims = [] if shape is None else [None if d < 0 else int(d) for d in shape]
        return {"name": entry.name.decode(), "dtype": types[tensor.type], "shape": dims}

    signatures = []
    for definition in model.signatureDefs or []:
        graph = model.subgraphs[definition.subgraphIndex]
        signatures.append(
            {
                "name": definition.signatureKey.decode(),
                "inputs": [spec(graph, t) for t in _listed(definition.inputs, graph.inputs)],
                "outputs": [spec(graph, t) for t in _listed(definition.outputs, graph.outputs)],
            }
        )
    ops = Counter(op_name(model.operatorCodes[o.opcodeIndex]) for g in model.subgraphs for o in g.operators or [])
    sizes: Counter[str] = Counter()
    quantized = []
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None:
                sizes[types[tensor.type]] += len(data)
            scale = tensor.quantization.scale if tensor.quantization is not None else None
            if scale is not None and len(scale):
                quantized.append(
                    {
                        "name": tensor.name.decode(),
                        "dtype": types[tensor.type],
                        "scales": len(scale),
                        "axis": int(tensor.quantization.quantizedDimension),
                    }
                )
    return {
        "title": "TensorFlow Lite flatbuffer",
        "signatures": signatures,
        "ops": dict(ops),
        "dtypes": dict(sizes),
        "quantization": quantized,
        "facts": {"subgraphs": len(model.subgraphs), "description": (model.description or b"").decode()},
    }


def _listed(entries: Any, places: Any) -> list[Any]:
    """The tensors of a signature in the order of the subgraph's own list, by which callers by index go."""
    left, ordered = list(entries or ()), []
    for place in places:
        found = next((entry for entry in left if int(entry.tensorIndex) == int(place)), None)
        if found is not None:
            ordered.append(found)
            left.remove(found)
    return [*ordered, *left]


def _onnx(path: Path) -> Json:
    import onnx

    model = onnx.load(str(path))

    def dtype(number: int) -> str:
        if number == onnx.TensorProto.STRING:
            return "string"
        return str(onnx.helper.tensor_dtype_to_np_dtype(number).name)

    def spec(value: Any) -> Json:
        tensor = value.type.tensor_type
        dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
        return {"name": value.name, "dtype": dtype(tensor.elem_type), "shape": dims}

    sizes: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        sizes[dtype(tensor.data_type)] += onnx.numpy_helper.to_array(tensor).nbytes
    opsets = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import)
    return {
        "title": "ONNX model",
        "signatures": [
            {
                "name": model.graph.name or "serving_default",
                "inputs": [spec(v) for v in model.graph.input],
                "outputs": [spec(v) for v in model.graph.output],
            }
        ],
        "ops": dict(Counter(n.op_type for n in model.graph.node)),
        "dtypes": dict(sizes),
        "facts": {"opset": opsets, "ir version": model.ir_version, "producer": model.producer_name},
    }


def _saved_model(path: Path) -> Json:
    import_tensorflow(without=("keras", "sklearn"))
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    from exporter.source.trace import dims

    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((path / "saved_model.pb").read_bytes())
    meta = proto.meta_graphs[0]

    def spec(name: str, info: Any) -> Json:
        shape = dims(tf.TensorShape(info.tensor_shape))
        dtype = tf.dtypes.as_dtype(info.dtype).name
        return {"name": name, "dtype": dtype, "shape": None if shape is None else list(shape)}

    ops = Counter(n.op for n in meta.graph_def.node)
    for function in meta.graph_def.library.function:
        ops.update(n.op for n in function.node_def)
    return {
        "title": "TensorFlow SavedModel",
        "signatures": [
            {
                "name": name,
                "inputs": [spec(n, found.inputs[n]) for n in sorted(found.inputs, key=natural)],
                "outputs": [spec(n, found.outputs[n]) for n in sorted(found.outputs, key=natural)],
            }
            for name, found in sorted(meta.signature_def.items())
            if name != "__saved_model_init_op"
        ],
        "ops": dict(ops),
        "facts": {
            "tags": ", ".join(meta.meta_info_def.tags),
            "TensorFlow": meta.meta_info_def.tensorflow_version,
        },
    }


def _tfjs(path: Path) -> Json:
    model = json.loads(path.read_text())
    sizes: Counter[str] = Counter()
    quantized: list[Json] = []
    for group in model["weightsManifest"]:
        for weight in group["weights"]:
            stored = weight.get("quantization", {}).get("dtype", weight["dtype"])
            count = 1
            for d in weight["shape"]:
                count *= d
            if "scale" in weight.get("quantization", {}):
                quantized.append({"name": weight["name"], "dtype": stored, "scales": 1, "axis": 0})
            sizes[stored] += count * {"float32": 4, "int32": 4, "float16": 2, "uint16": 2}.get(stored, 1)
    shards = [p for group in model["weightsManifest"] for p in group["paths"]]
    weights = sum((path.parent / p).stat().st_size for p in shards)
    common: Json = {
        "bytes": path.stat().st_size + weights,
        "dtypes": dict(sizes),
        "quantization": quantized,
        "facts": {"shards": len(shards), "converted by": model.get("convertedBy", "")},
    }
    if model["format"] == "layers-model":
        config = model["modelTopology"]["model_config"]
        layers = config["config"]["layers"] if isinstance(config["config"], Mapping) else config["config"]
        return {
            "title": "TF.js layers model",
            **common,
            "signatures": [_tfjs_layers_signature(config["config"])] if "input_layers" in config["config"] else [],
            "ops": dict(Counter(x["class_name"] for x in layers)),
        }
    from exporter.formats._tfjs_order import as_javascript_lists

    signature = model.get("signature", {})

    def specs(side: str) -> list[Json]:
        found = signature.get(side, {})
        return [_tfjs_spec(name, found[name]) for name in as_javascript_lists(found)]

    return {
        "title": "TF.js graph model",
        **common,
        "signatures": [{"name": path.parent.name, "inputs": specs("inputs"), "outputs": specs("outputs")}],
        "ops": dict(Counter(n["op"] for n in model["modelTopology"]["node"])),
    }


def _tfjs_spec(name: str, info: Mapping[str, Any]) -> Json:
    dims = [int(d.get("size", 0)) for d in info.get("tensorShape", {}).get("dim", [])]
    dtype = str(info["dtype"]).removeprefix("DT_").lower()
    words = {"float": "float32", "double": "float64"}
    return {"name": name, "dtype": words.get(dtype, dtype), "shape": [None if d < 0 else d for d in dims]}


def _tfjs_layers_signature(config: Mapping[str, Any]) -> Json:
    """Inputs and outputs by layer name, as TF.js feeds and reads them; the file holds no shapes of outputs."""
    layers = {layer["name"]: layer["config"] for layer in config["layers"]}

    def specs(side: str) -> list[Json]:
        found = []
        for name, *_ in config[side]:
            layer = layers[name]
            found.append({"name": name, "dtype": layer["dtype"], "shape": layer.get("batch_input_shape")})
        return found

    return {"name": "serving_default", "inputs": specs("input_layers"), "outputs": specs("output_layers")}


def _keras(path: Path) -> Json:
    """Loads the model, as only Keras knows its names and shapes, unless that needs code."""
    from exporter.source.keras_file import foreign_classes, keras_config

    config = keras_config(path)
    layers = config["config"].get("layers", [])
    foreign = foreign_classes(config)
    facts: Json = {"class": config["class_name"], "name": config["config"].get("name", "")}
    found: Json = {"title": "Keras model", "ops": dict(Counter(layer["class_name"] for layer in layers))}
    if foreign:
        return {**found, "facts": {**facts, "needs the code of": ", ".join(foreign)}}
    from exporter.workers.keras import KerasModel

    loaded = KerasModel(path, None)
    sizes: Counter[str] = Counter()
    for weight in loaded.model.weights:
        sizes[str(weight.dtype)] += weight.numpy().nbytes
    return {
        **found,
        "signatures": [
            {
                "name": "serving_default",
                "inputs": [s.to_json() for s in loaded.inputs],
                "outputs": [s.to_json() for s in loaded.outputs],
            }
        ],
        "dtypes": dict(sizes),
        "facts": facts,
    }


_READERS = {
    "tflite": _tflite,
    "onnx": _onnx,
    "saved-model": _saved_model,
    "tfjs-graph": _tfjs,
    "tfjs-layers": _tfjs,
    "keras": _keras,
    "h5": _keras,
}


def _tflite_weights(path: Path) -> Tensors:
    from exporter.formats import _tflite_weights as stored

    return as_tensors({stored.label(n): (w.values, w.step) for n, w in stored.weights(path.read_bytes()).items()})


def _onnx_weights(path: Path) -> Tensors:
    import onnx

    from exporter.formats import _onnx_weights as stored

    return as_tensors({n: (w.values, w.step) for n, w in stored.weights(onnx.load(str(path))).items()})


def _tfjs_weights(path: Path) -> Tensors:
    from exporter.formats._tfjs_quantize import stored_weight
    from exporter.formats._tfjs_weights import NUMBERS, manifest_of, stored_weights

    found = {
        spec["name"]: stored_weight(spec, stored)
        for spec, stored in stored_weights(path.parent, manifest_of(path))
        if spec["dtype"] in NUMBERS
    }
    return as_tensors({n: (w.values, w.step) for n, w in found.items()})


_WEIGHTS = {
    "tflite": _tflite_weights,
    "onnx": _onnx_weights,
    "tfjs-graph": _tfjs_weights,
    "tfjs-layers": _tfjs_weights,
}


def _weights(request: Mapping[str, Any]) -> Json:
    """Write what each file of `files` stores to the path beside it."""
    for file in request["files"]:
        tensors.save(file["outputs"], _WEIGHTS[file["format"]](Path(file["artifact"])))
    return {}


def main() -> None:
    operations: dict[str, Operation] = {"inspect": lambda request: inspect(Path(request["path"])), "weights": _weights}
    serve(lambda op, request: find_operation(op, operations)(request))


if __name__ == "__main__":
    main()
