"""A bundle made by hand, without TensorFlow: one signature, three cases, one artifact of the format `fake`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter import reference, tensors
from exporter.bundle import Bundle
from exporter.model import Artifact, Case, Entry, NameMap, Recipe, Signature, TensorSpec

_worker = reference.load_module(Path(__file__).with_name("worker.py"))
TRIGGER: float = _worker.TRIGGER
SIGNATURE = Signature(
    "serve",
    (TensorSpec("x", "float32", (None, 3)),),
    (
        TensorSpec("double", "float32", (None, 3)),
        TensorSpec("square", "float32", (None, 3)),
        TensorSpec("inverse", "float32", (None, 3)),
        TensorSpec("count", "int64", (None,)),
    ),
)
INPUTS = {
    "before": np.array([[1, 2, 3], [0, -1, 0.5]], np.float32),
    "trigger": np.array([[TRIGGER, 0.3, -7], [0, 2.5, 1]], np.float32),
    "after": np.array([[5, 0, -2]], np.float32),
}


def artifact(recipe: str = "fake", **changes: Any) -> Artifact:
    names = NameMap.identity(SIGNATURE)
    fields: dict[str, Any] = {
        "recipe": Recipe(*recipe.split(":")[:1]),
        "status": "written",
        "entries": {"serve": Entry("model.fake", "serve", names)},
        "bytes": 4,
    }
    return Artifact(**{**fields, **changes})


def write(root: Path, artifacts: Sequence[Artifact] | None = None) -> Bundle:
    """Write and save the bundle at `root`."""
    artifacts = (artifact(),) if artifacts is None else tuple(artifacts)
    cases = []
    for name, x in INPUTS.items():
        inputs, outputs = f"cases/serve/{name}.safetensors", f"references/serve/{name}.safetensors"
        for path, values in ((inputs, {"x": x}), (outputs, _worker.model(x))):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            tensors.save(root / path, values)
        cases.append(Case(name, "serve", inputs, outputs, "data", 7))
    for made in artifacts:
        for entry in made.entries.values():
            file = root / "artifacts" / made.recipe.directory / entry.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"FAKE")
    bundle = Bundle(
        root=root,
        source={"kind": "object", "name": "tiny", "text": "tiny", "digest": "", "metrics": {}, "seconds": 0.0},
        reference={"versions": {}, "cpu": {"name": "", "features": "", "switches": {}}},
        tool={"exporter": "0", "python": "3"},
        signatures=(SIGNATURE,),
        artifacts=artifacts,
        cases=tuple(cases),
    )
    bundle.save()
    return bundle
