"""The contract of `reference_models/<name>/model.py`, and how such a module is found and loaded.

A reference model's module defines

    TITLE                                    one line: what it covers
    build(seed=7)                            the untrained keras.Model or tf.Module, the same weights for the same seed
    data(seed=7) -> Data                     generated or bundled data; never the network
    train(model, data, seed=7) -> metrics    seconds on two cores; metrics are held-out figures by name
    QUALITY = {"accuracy": (">=", 0.97)}     what `train` must reach; a miss is a failed build
    signatures(model)                        optional: name -> tf.function with an input_signature (tf.Module)
    cases(data) -> {signature: inputs}       optional: own probe inputs per signature (default: data.test.inputs)
    calibration(data) -> {signature: inputs} optional: rows for static quantization (default: data.train.inputs)

Inputs are dictionaries by signature input name, batch first.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from exporter.resources import reference_models_root
from exporter.tensors import Array


@dataclass(frozen=True)
class Split:
    """Inputs and targets by name, batch first, all of one length."""

    inputs: Mapping[str, Array]
    targets: Mapping[str, Array]


@dataclass(frozen=True)
class Data:
    train: Split
    test: Split


def names() -> list[str]:
    """Names of all reference models, sorted."""
    root = reference_models_root()
    return sorted(p.parent.name for p in root.glob("*/model.py"))


def path_of(name: str) -> Path:
    return reference_models_root() / name / "model.py"


def load_module(path: Path) -> ModuleType:
    """Import a Python file by path under a name of its own; a second call returns the same module.

    Its directory is importable while it loads, so that a model may keep helpers beside it.
    """
    resolved = path.resolve()
    # the digest keeps my-model.py and my_model.py apart
    name = f"exporter_source_{resolved.stem}_{hashlib.sha256(str(resolved).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(resolved.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(resolved.parent))
    return module


def missed(quality: Mapping[str, tuple[str, float]], metrics: Mapping[str, float]) -> list[str]:
    """One sentence per quality bound that `metrics` does not reach; NaN and a missing metric miss."""
    out = []
    for name, (sign, bound) in quality.items():
        value = metrics.get(name, float("nan"))
        held = value >= bound if sign == ">=" else value <= bound
        if not held:
            out.append(f"{name} is {value:.4g}, expected {sign} {bound:g}")
    return out


def title(name: str) -> str:
    """The TITLE of a reference model, read without running its module (which imports TensorFlow)."""
    tree = ast.parse(path_of(name).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "TITLE" for t in node.targets):
            return str(ast.literal_eval(node.value))
    raise ValueError(f"{path_of(name)} defines no TITLE")
