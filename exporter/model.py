"""The frozen types every other module speaks: signatures, recipes, artifacts, cases, cells and outcomes.

Nothing here imports more than the standard library, so the host, every Python worker and the command line
can share one vocabulary without paying for TensorFlow or NumPy.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]


@dataclass(frozen=True)
class TensorSpec:
    """One named tensor of a signature.

    `dtype` is a name of `exporter.tensors.DTYPES`. `shape` is a tuple with None for each dynamic dimension,
    or None when even the rank is unknown.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": None if self.shape is None else list(self.shape),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> TensorSpec:
        shape = data["shape"]
        return TensorSpec(data["name"], data["dtype"], None if shape is None else tuple(shape))

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape fits."""
        if self.shape is None:
            return True
        return len(self.shape) == len(shape) and all(
            d is None or d == n for d, n in zip(self.shape, shape, strict=True)
        )

    def __str__(self) -> str:
        dims = "?" if self.shape is None else ",".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.name}: {self.dtype}[{dims}]"


@dataclass(frozen=True)
class Signature:
    """Ordered inputs and outputs of one callable of a source, derived once and binding in every runtime.

    `independent` is set where leading dimensions look like one batch and are not: the source takes inputs of different
    numbers of rows.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    independent: bool = False

    def __post_init__(self) -> None:
        for side, specs in (("input", self.inputs), ("output", self.outputs)):
            names = [s.name for s in specs]
            if len(set(names)) != len(names):
                raise ValueError(f"signature {self.name!r} has duplicate {side} names: {names}")
        if not self.outputs:
            raise ValueError(f"signature {self.name!r} has no outputs, so there is nothing to compare")

    def input(self, name: str) -> TensorSpec:
        return next(s for s in self.inputs if s.name == name)

    def output(self, name: str) -> TensorSpec:
        return next(s for s in self.outputs if s.name == name)

    @property
    def batched(self) -> bool:
        """True when every input and output leads with a dynamic (batch) dimension, one for all of them."""
        return (
            bool(self.inputs)
            and not self.independent
            and all(
                s.shape is not None and len(s.shape) > 0 and s.shape[0] is None for s in (*self.inputs, *self.outputs)
            )
        )

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "inputs": [s.to_json() for s in self.inputs],
            "outputs": [s.to_json() for s in self.outputs],
            **({"independent": True} if self.independent else {}),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Signature:
        return Signature(
            data["name"],
            tuple(TensorSpec.from_json(s) for s in data["inputs"]),
            tuple(TensorSpec.from_json(s) for s in data["outputs"]),
            bool(data.get("independent", False)),
        )


@dataclass(frozen=True)
class Recipe:
    """One format with its options, e.g. `tfjs-graph:shard-size=1MiB`; options that equal the default are absent."""

    format: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> str:
        """The recipe's name in the command line, in reports and (encoded) on disk."""
        if not self.options:
            return self.format
        return self.format + ":" + ",".join(f"{k}={v}" for k, v in self.options)

    @property
    def directory(self) -> str:
        """`id` with every character that is special in some file system, URL or shell replaced.

        Where those are more than what separates options, a digest tells recipes apart that differ in nothing else.
        """
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", self.id)
        special = re.search(r"[^A-Za-z0-9._:,=-]", self.id)
        return f"{plain}-{hashlib.sha256(self.id.encode()).hexdigest()[:8]}" if special else plain

    def option(self, key: str, default: str) -> str:
        return dict(self.options).get(key, default)


@dataclass(frozen=True)
class FileFact:
    """One file of a bundle: path relative to the bundle (POSIX), size in bytes, and sha256 in hex."""

    path: str
    bytes: int
    sha256: str

    def to_json(self) -> Json:
        return {"path": self.path, "bytes": self.bytes, "sha256": self.sha256}


@dataclass(frozen=True)
class NameMap:
    """What signature names became inside an artifact: signature name -> artifact name, per direction."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    @staticmethod
    def identity(signature: Signature) -> NameMap:
        return NameMap({s.name: s.name for s in signature.inputs}, {s.name: s.name for s in signature.outputs})

    def to_json(self) -> Json:
        return {"inputs": dict(self.inputs), "outputs": dict(self.outputs)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> NameMap:
        return NameMap(dict(data["inputs"]), dict(data["outputs"]))


@dataclass(frozen=True)
class Interface:
    """An input or output that is an integer in the artifact and a float in the signature.

    real = scale * (stored - zero_point); `dtype` is that of the artifact.
    """

    dtype: str
    scale: float
    zero_point: int

    def to_json(self) -> Json:
        return {"dtype": self.dtype, "scale": self.scale, "zero_point": self.zero_point}


@dataclass(frozen=True)
class Entry:
    """Where one signature of an artifact lives and how to feed it.

    `path` is what a runtime opens, relative to the artifact's directory ("." for a directory format).
    `key` is the signature's name inside the artifact. `pinned` gives, per input, the static shape the recipe
    had to fix (None where the signature is dynamic), or is empty when nothing was pinned. `interface` holds the inputs
    and outputs that are quantized in the artifact.
    """

    path: str
    key: str
    names: NameMap
    pinned: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    interface: Mapping[str, Interface] = field(default_factory=dict)

    def to_json(self) -> Json:
        return {
            "path": self.path,
            "key": self.key,
            "names": self.names.to_json(),
            "pinned": {k: list(v) for k, v in self.pinned.items()},
            "interface": {k: v.to_json() for k, v in self.interface.items()},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Entry:
        return Entry(
            data["path"],
            data["key"],
            NameMap.from_json(data["names"]),
            {k: tuple(v) for k, v in data.get("pinned", {}).items()},
            {k: Interface(**v) for k, v in data.get("interface", {}).items()},
        )


ArtifactStatus = Literal["written", "refused", "failed"]


@dataclass(frozen=True)
class Artifact:
    """What a recipe wrote, or why it did not.

    `reason` is empty for a written artifact. `code` names the kind of failure (`crash`, `timeout`, `converter` …).
    `needs_code` is set when reloading needs the source's own classes. `rewrites` lists, in words, everything
    the writer changed on the way (lowered ops, pinned shapes, elided layers), `needs` what a runtime must have besides
    the file. `quantization` says of a quantized artifact who made it, the `steps` of its outputs by signature and name,
    the layers in `kept_float`, and those `joining` what an output is made of.
    """

    recipe: Recipe
    status: ArtifactStatus
    reason: str = ""
    code: str = ""
    explicit: bool = False
    entries: Mapping[str, Entry] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)
    rewrites: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    needs_code: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    quantization: Json = field(default_factory=dict)
    seconds: float = 0.0
    bytes: int = 0

    def to_json(self) -> Json:
        return {
            "recipe": self.recipe.id,
            "path": f"artifacts/{self.recipe.directory}",
            "status": self.status,
            "reason": self.reason,
            "code": self.code,
            "explicit": self.explicit,
            "signatures": {k: e.to_json() for k, e in self.entries.items()},
            "unavailable": dict(self.unavailable),
            "rewrites": list(self.rewrites),
            "versions": dict(self.versions),
            "needs_code": list(self.needs_code),
            "needs": list(self.needs),
            "quantization": self.quantization,
            "seconds": round(self.seconds, 3),
            "bytes": self.bytes,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Artifact:
        return Artifact(
            recipe=recipe_of_id(data["recipe"]),
            status=data["status"],
            reason=data["reason"],
            code=data["code"],
            explicit=data["explicit"],
            entries={k: Entry.from_json(e) for k, e in data["signatures"].items()},
            unavailable=dict(data["unavailable"]),
            rewrites=tuple(data["rewrites"]),
            versions=dict(data["versions"]),
            needs_code=tuple(data["needs_code"]),
            needs=tuple(data.get("needs", ())),
            quantization=data.get("quantization", {}),
            seconds=data["seconds"],
            bytes=data["bytes"],
        )


def recipe_of_id(recipe_id: str) -> Recipe:
    """Parse `format` or `format:key=value,…` without validating against the known formats.

    Raises:
        ValueError: an option is not of the form key=value.
    """
    format_name, _, tail = recipe_id.partition(":")
    options = []
    for item in filter(None, tail.split(",")):
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ValueError(f"recipe {recipe_id!r}: expected key=value, found {item!r}")
        options.append((key, value))
    return Recipe(format_name, tuple(sorted(options)))


@dataclass(frozen=True)
class Case:
    """One named set of inputs with its reference outputs, as two safetensors files of the bundle.

    `origin` says where the numbers come from: `data` (the model's own), `file` (--inputs), `calibration` (rows of it,
    where there are no others), `evaluation` (labelled rows) or `generated`.
    """

    name: str
    signature: str
    inputs: str
    reference: str
    origin: str
    seed: int

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "signature": self.signature,
            "inputs": self.inputs,
            "reference": self.reference,
            "origin": self.origin,
            "seed": self.seed,
        }

    @property
    def real(self) -> bool:
        """Whether the numbers are data and not made up."""
        return self.origin != "generated"

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Case:
        return Case(**{k: data[k] for k in ("name", "signature", "inputs", "reference", "origin", "seed")})


@dataclass(frozen=True)
class Task:
    """What is measured of one output: `metric` is a name of `exporter.task.METRICS`, `source` the source's own value.

    An artifact may be worse by `max_drop` (in the metric's unit); by anything if it is None.
    """

    output: str
    metric: str
    source: float
    max_drop: float | None = None

    def to_json(self) -> Json:
        return {"output": self.output, "metric": self.metric, "source": self.source, "max_drop": self.max_drop}


@dataclass(frozen=True)
class Evaluation:
    """The case of labelled rows, and what is measured on it.

    `labels` is a safetensors file of the bundle: labels by output name, as the metrics take them. `rows` of the `given`
    ones are used.
    """

    signature: str
    case: str
    labels: str
    origin: str
    rows: int
    given: int
    tasks: tuple[Task, ...]

    def to_json(self) -> Json:
        return {
            "signature": self.signature,
            "case": self.case,
            "labels": self.labels,
            "origin": self.origin,
            "rows": self.rows,
            "given": self.given,
            "tasks": [task.to_json() for task in self.tasks],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Evaluation:
        own = {k: data[k] for k in ("signature", "case", "labels", "origin", "rows", "given")}
        return Evaluation(**own, tasks=tuple(Task(**task) for task in data["tasks"]))


@dataclass(frozen=True, order=True)
class Cell:
    """One thing to find out: does this recipe in this runtime agree on this case of this signature?"""

    recipe: str
    runtime: str
    signature: str
    case: str

    def __str__(self) -> str:
        return f"{self.recipe}/{self.runtime}/{self.signature}/{self.case}"


@dataclass(frozen=True)
class Tolerance:
    """Element gate |a-b| <= atol*S + rtol*|b|, with the reason it may be that wide."""

    rtol: float
    atol: float
    why: str

    def __post_init__(self) -> None:
        if not (0 <= self.rtol < math.inf and 0 <= self.atol < math.inf):
            raise ValueError(f"a tolerance is a finite number of at least 0: rtol={self.rtol}, atol={self.atol}")

    @property
    def text(self) -> str:
        if not self.rtol and not self.atol:
            return "bit-exact"
        return f"rtol {self.rtol:g}, atol {self.atol:g}·S"
