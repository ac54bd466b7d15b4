"""Running one artifact in one runtime, outside any bundle: `exporter run`, and both sides of `exporter compare`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporter import tensors
from exporter.artifact_path import ArtifactPath, identify, missing_path
from exporter.bundle import write_bytes
from exporter.errors import ExporterError, InputsError, MissingRuntimeError, UsageError, WorkerFailure
from exporter.inputs import read_inputs
from exporter.model import Signature, TensorSpec
from exporter.parity.cases import fit
from exporter.parity.compare import number
from exporter.protocol.client import Client, NotSupported, Ok, RemoteError
from exporter.runtimes import Missing, Runs, Runtime
from exporter.runtimes.registry import runtime_named, runtimes
from exporter.tensors import Array, Tensors, dtype_name
from exporter.text import last_words

OUTPUT_KINDS = (".npz", ".npy", ".json", ".safetensors")


@dataclass(frozen=True)
class SingleRun:
    """What one run gave. `signature` is the artifact's own, as the runtime shows it."""

    runtime: str
    versions: Mapping[str, str]
    signature: Signature
    outputs: Tensors
    elapsed_ns: int


class RunError(ExporterError):
    """The artifact could not be loaded or run."""


def choose_runtime(artifact: ArtifactPath, name: str | None) -> Runtime:
    """The named runtime, or the first default one of the format. Raises `UsageError`, `MissingRuntimeError`."""
    if name is not None:
        chosen = runtime_named(name)
        if artifact.format not in chosen.formats:
            raise UsageError(
                "useless-runtime",
                f"{name} does not run {artifact.format}",
                f"it runs {', '.join(chosen.formats)}",
            )
        return chosen
    for candidate in runtimes().values():
        if isinstance(candidate, Runtime) and candidate.runs == Runs.ALL and artifact.format in candidate.formats:
            return candidate
    raise MissingRuntimeError("no-runtime", f"no runtime executes {artifact.format}", "exporter runtimes")


def run_single(
    path: Path,
    inputs: str,
    *,
    runtime: str | None = None,
    signature: str | None = None,
    custom: Path | None = None,
    timeout: float | None = None,
) -> SingleRun:
    """Run one artifact on a file of inputs.

    Raises:
        ExporterError: the artifact, the runtime or the inputs do not work, with the end of the worker's log.
    """
    artifact = identify(path)
    chosen = choose_runtime(artifact, runtime)
    try:
        argv = chosen.command()
    except Missing as missing:
        raise MissingRuntimeError("missing", missing.reason, missing.hint) from missing
    if chosen.needs_code and custom is not None:
        argv = [*argv, "--custom", str(custom.absolute())]
    key = signature or _only_signature(artifact)
    with tempfile.TemporaryDirectory(prefix="exporter-run-") as scratch:
        client = Client(argv, Path(scratch) / "log", {**chosen.environment, "TMPDIR": scratch})
        try:
            hello = _ok(client.request("hello", timeout or chosen.limits.start, protocol=1, runtime=chosen.name))
            loaded = _ok(
                client.request(
                    "load",
                    timeout or chosen.limits.load,
                    artifact=str(artifact.path.resolve()),
                    format=artifact.format,
                    signature=key,
                )
            )
            shown = Signature(
                key,
                tuple(TensorSpec.from_json(s) for s in loaded["inputs"]),
                tuple(TensorSpec.from_json(s) for s in loaded["outputs"]),
            )
            feeds = fit(shown, read_inputs(inputs, [shown])[key])
            into, out = Path(scratch) / "in.safetensors", Path(scratch) / "out.safetensors"
            tensors.save(into, feeds)
            done = _ok(
                client.request(
                    "run",
                    timeout or chosen.limits.run,
                    handle=loaded["handle"],
                    inputs=str(into),
                    outputs=str(out),
                )
            )
            outputs = tensors.load(out)
        except WorkerFailure as failure:
            hint = "give it longer with --timeout SECONDS" if failure.stage == "timeout" else last_words(failure.tail)
            raise RunError(failure.code, f"{chosen.name}: {failure.message}", hint) from failure
        except BaseException:
            client.kill()  # a polite goodbye would wait for the worker's answer
            raise
        client.close()
        return SingleRun(chosen.name, hello["versions"], shown, outputs, done["elapsed_ns"])


def _ok(reply: Ok | NotSupported | RemoteError) -> dict[str, Any]:
    if isinstance(reply, Ok):
        return reply.value
    if isinstance(reply, NotSupported):
        raise RunError("unsupported", reply.reason)
    if reply.code == "missing-package":
        raise MissingRuntimeError(reply.code, reply.message, "exporter doctor")
    raise RunError(reply.code, reply.message, reply.hint)


def _only_signature(artifact: ArtifactPath) -> str:
    if artifact.format not in ("tflite", "saved-model"):
        return "serving_default"
    from exporter.api import inspect

    names = [s["name"] for s in inspect(artifact.path)["signatures"]]
    if "serving_default" in names:
        return "serving_default"
    if len(names) != 1:
        raise UsageError(
            "which-signature",
            f"{artifact.path} has {len(names)} signatures: {', '.join(names) or 'none'}",
            "choose one with --signature",
        )
    return str(names[0])


def check_output_kind(path: Path) -> None:
    """Refuse an output file of an unknown kind before anything runs."""
    if path.suffix not in OUTPUT_KINDS:
        raise UsageError("outputs-kind", f"{path} is not a kind of output file", f"one of {', '.join(OUTPUT_KINDS)}")


def write_outputs(path: Path, outputs: Tensors) -> None:
    """Write outputs atomically, in the kind the suffix names. Raises `UsageError`, `BundleError`."""
    check_output_kind(path)
    if path.suffix == ".safetensors":
        data = tensors.dumps(outputs)
    elif path.suffix == ".json":
        data = (json.dumps({n: _nested(a) for n, a in outputs.items()}, allow_nan=False) + "\n").encode()
    else:
        data = _numpy_file(path, outputs)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)


def _nested(array: Array) -> Any:
    if array.ndim == 0:
        return number(array[()])
    return [_nested(row) for row in array] if array.ndim > 1 else [number(v) for v in array]


def _numpy_file(path: Path, outputs: Tensors) -> bytes:
    import io

    plain = {}
    for name, array in outputs.items():
        if dtype_name(array) in ("string", "bfloat16"):
            raise UsageError(
                "outputs-kind", f"NumPy files cannot hold the {dtype_name(array)} output {name!r}", "use .safetensors"
            )
        plain[name] = array
    buffer = io.BytesIO()
    if path.suffix == ".npz":
        np.savez(buffer, allow_pickle=False, **plain)
    elif len(plain) == 1:
        np.save(buffer, next(iter(plain.values())))
    else:
        raise UsageError("outputs-kind", f"a .npy file holds one array, there are {len(plain)} outputs", "use .npz")
    return buffer.getvalue()


def read_outputs(path: Path) -> Tensors:
    """Read a file of named outputs: npz, npy, json or safetensors.

    Raises:
        UsageError: there is no such file.
        InputsError: unreadable or of an unknown kind.
    """
    if not path.is_file():
        raise missing_path(path, "file")
    try:
        if path.suffix == ".safetensors":
            return tensors.load(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {n: archive[n] for n in archive.files}
        if path.suffix == ".npy":
            return {"outputs": np.load(path, allow_pickle=False)}
        if path.suffix == ".json":
            data = json.loads(path.read_text())
            if not isinstance(data, dict):
                data = {"outputs": data}
            return {n: _from_nested(v) for n, v in data.items()}
    except (ValueError, OSError) as error:
        raise InputsError("outputs-unreadable", f"{path} cannot be read: {error}", "write it again") from error
    raise InputsError("outputs-kind", f"{path} is not a kind of output file", f"one of {', '.join(OUTPUT_KINDS)}")


def in_terms_of(path: Path, given: Tensors, other: Tensors) -> Tensors:
    """`given`, read from `path`, under the name and in the dtypes of `other` where its kind of file has none.

    A .npy file and a bare JSON list name nothing; JSON numbers have no dtype. A value that would not survive keeps
    the dtype it was read in, so the comparison says so.
    """
    if path.suffix in (".npy", ".json") and list(given) == ["outputs"] and len(other) == 1:
        given = dict(zip(other, given.values(), strict=True))
    if path.suffix != ".json":
        return given
    return {n: _retyped(a, other[n].dtype) if n in other else a for n, a in given.items()}


def _retyped(array: Array, dtype: np.dtype) -> Array:
    if array.dtype == dtype or "O" in (array.dtype.kind, dtype.kind):
        return array
    with np.errstate(all="ignore"):
        converted = array.astype(dtype)
        both_floats = array.dtype.kind == "f" and dtype_name(converted) in ("float16", "bfloat16", "float32", "float64")
        kept = both_floats or np.array_equal(converted.astype(array.dtype), array)
    return converted if kept else array


def _from_nested(values: Any) -> Array:
    words = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
    array = np.asarray(values, dtype=object)
    if any(isinstance(v, str) and v not in words for v in array.reshape(-1)):
        return tensors.as_strings(array)
    if all(isinstance(v, int) for v in array.reshape(-1)):
        return np.asarray(values)
    return np.vectorize(lambda v: words.get(v, v), otypes=[np.float64])(array) if array.size else np.zeros(array.shape)
