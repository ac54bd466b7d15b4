"""Declared dtypes are proved, not believed: a tensor of random bits goes through every runtime and must come back.

Every worker says in `hello` which dtypes cross it bit for bit and which it casts, range-checked. Here an artifact that
returns its input is run in it for every dtype there is: the declared ones come back to the last bit (a NaN may change
its payload), the cast ones come back by value, and all others are refused, never carried as something else.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from exporter import tensors
from exporter.model import Signature, TensorSpec
from exporter.parity.compare import accept_casts
from exporter.protocol.client import Client, NotSupported, Ok, RemoteError, Reply
from exporter.runtimes import Runtime
from exporter.runtimes.registry import runtimes
from exporter.tensors import DTYPES, Array, as_strings, dtype_name

VECTORS = Path(__file__).parents[1] / "vectors" / "identity"
ALL = [*DTYPES, "string"]
RUNTIMES = {n: r for n, r in runtimes().items() if isinstance(r, Runtime)}
TIMEOUT = 180.0

# one TensorFlow import for all of them
BUILD = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from pathlib import Path
import keras
import tensorflow as tf
root, dtypes = Path(sys.argv[1]), sys.argv[2:]
for dtype in dtypes:
    module = tf.Module()
    spec = tf.TensorSpec([None, 3], dtype, name="x")
    module.f = tf.function(lambda x: {"y": tf.identity(x)}, input_signature=[spec])
    tf.saved_model.save(module, str(root / "saved-model" / dtype), signatures={"serve": module.f})
    x = keras.Input((3,), dtype=dtype, name="x")
    # Keras layers cast floats to their own dtype, and have no other kind of dtype policy
    model = keras.Model(x, keras.layers.Identity(name="y", dtype=dtype if "float" in dtype else None)(x))
    for suffix in ("keras", "h5"):
        path = root / suffix / f"{dtype}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("identity")
    argv = [sys.executable, "-c", textwrap.dedent(BUILD), str(root), *ALL]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


@dataclass
class Session:
    """A worker after its `hello`, and where to put files."""

    client: Client
    hello: dict[str, list[str]]
    casts: dict[str, str]
    scratch: Path
    built: Path

    def artifacts(self, dtype: str) -> list[tuple[str, Path]]:
        """(format, its identity of one dtype) for every format of the runtime that can express it."""
        paths = {
            "onnx": VECTORS / "onnx" / f"{dtype}.onnx",
            "tflite": VECTORS / "tflite" / f"{dtype}.tflite",
            "tfjs-graph": VECTORS / "tfjs-graph" / dtype / "model.json",
            "tfjs-layers": VECTORS / "tfjs-layers" / dtype / "model.json",
            "saved-model": self.built / "saved-model" / dtype,
            "keras": self.built / "keras" / f"{dtype}.keras",
            "h5": self.built / "h5" / f"{dtype}.h5",
        }
        return [(f, paths[f]) for f in self.hello["formats"] if paths[f].exists()]

    def through(self, format: str, path: Path, value: Array) -> Array | Reply:
        """The tensor that came back, or the reply that said no."""
        key = "serving_default" if format == "tflite" else "serve"
        loaded = self.client.request("load", TIMEOUT, artifact=str(path), format=format, signature=key)
        if not isinstance(loaded, Ok):
            return loaded
        (source,) = (s["name"] for s in loaded.value["inputs"])
        (result,) = (s["name"] for s in loaded.value["outputs"])
        into, out = self.scratch / "in.safetensors", self.scratch / "out.safetensors"
        out.unlink(missing_ok=True)
        tensors.save(into, {source: value})
        handle = loaded.value["handle"]
        ran = self.client.request("run", TIMEOUT, handle=handle, inputs=str(into), outputs=str(out))
        self.client.request("unload", TIMEOUT, handle=handle)
        if not isinstance(ran, Ok):
            return ran
        found = tensors.load(out)
        assert list(found) == [result]
        return found[result]


@pytest.fixture(scope="module", params=RUNTIMES)
def session(request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    runtime = RUNTIMES[request.param]
    scratch = tmp_path_factory.mktemp(runtime.name)
    client = Client(runtime.command(), scratch / "log", runtime.environment)
    try:
        reply = client.request("hello", TIMEOUT, protocol=1, runtime=runtime.name)
        assert isinstance(reply, Ok), reply
        assert reply.value["runtime"] == runtime.name
        assert set(reply.value["formats"]) == set(runtime.formats)
        yield Session(client, reply.value, reply.value["casts"], scratch, built)
    finally:
        client.close()


def random_bits(dtype: str, rows: int) -> Array:
    rng = np.random.default_rng([rows, ALL.index(dtype)])
    kind = DTYPES[dtype][1]
    if dtype == "bool":
        return rng.integers(0, 2, (rows, 3)).astype(bool)
    return np.frombuffer(rng.bytes(rows * 3 * kind.itemsize), kind).reshape(rows, 3).copy()


def corners(dtype: str) -> Array:
    """Zeros of both signs, the smallest subnormal, the largest finite value, infinities and NaN; or the limits."""
    kind = DTYPES[dtype][1]
    if dtype == "bool":
        return np.array([[True, False, True]])
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return np.array([[limits.min, limits.max, 1], [0, limits.max - 1, limits.min + 1]], kind)
    if dtype == "complex64":
        return np.array([[complex(-0.0, np.inf), complex(np.nan, 1e-45), complex(3.4e38, -np.inf)]], kind)
    one = np.array(1, kind)
    tiny = np.nextafter(np.zeros((), kind), one)
    big = np.nextafter(np.array(np.inf, kind), one)
    return np.array([[0.0, -0.0, tiny], [big, -big, 1.0], [np.inf, -np.inf, np.nan]], kind)


def strings(*values: bytes) -> Array:
    out = np.empty(len(values), object)
    out[:] = values
    return out.reshape(-1, 3)


TEXT = strings(b"plain", "größe €😀".encode(), b"", b" two  spaces ", b"line\nbreak\r", b'"quoted\\"')
ODD_BYTES = [b"a\x00b", b"\x00", b"ends in NUL\x00", b"\xff\xfe\x80", b"\xed\xa0\x80", bytes(range(256))]


def same_bits(got: Array, given: Array) -> bool:
    """Equal dtype, shape and bytes; a NaN may have another payload."""
    if dtype_name(given) == "string":
        return as_strings(got).tolist() == as_strings(given).tolist()
    if got.dtype != given.dtype or got.shape != given.shape:
        return False
    if given.dtype.kind == "c":
        return same_bits(got.view("<f4"), given.view("<f4"))
    a = np.frombuffer(got.tobytes(), f"u{given.dtype.itemsize}")
    b = np.frombuffer(given.tobytes(), f"u{given.dtype.itemsize}")
    if dtype_name(given) in ("float16", "bfloat16", "float32", "float64"):
        nan = np.isnan(given).reshape(-1)
        return bool(np.array_equal(np.isnan(got).reshape(-1), nan) and np.array_equal(a[~nan], b[~nan]))
    return bool(np.array_equal(a, b))


@pytest.mark.parametrize("dtype", ALL)
def test_a_dtype_is_what_hello_says_it_is(session: Session, dtype: str) -> None:
    if dtype in session.hello["dtypes"]:
        assert dtype not in session.casts, "a dtype that crosses bit for bit needs no cast"
        assert comes_back(session, dtype), "declared, and no artifact proves it"
    elif dtype in session.casts:
        assert is_cast(session, dtype), "declared, and no artifact proves it"
    else:
        is_refused(session, dtype)


def comes_back(session: Session, dtype: str) -> int:
    """Declared: bit for bit. Returns how often it was tried."""
    values = [TEXT] if dtype == "string" else [random_bits(dtype, 5), random_bits(dtype, 1), corners(dtype)]
    tried = 0
    for format, path in session.artifacts(dtype):
        for value in values:
            got = session.through(format, path, value)
            assert isinstance(got, np.ndarray), (format, got)
            assert dtype_name(got) == dtype, format
            assert same_bits(got, value), (format, value, got)
            tried += 1
    return tried


def is_cast(session: Session, dtype: str) -> int:
    """Declared as a cast: by value, and `Unsupported` for what is out of range. Returns how often it was tried."""
    inner = session.casts[dtype]
    assert inner in session.hello["dtypes"]
    kind, limits = DTYPES[dtype][1], np.iinfo(DTYPES[inner][1])
    own = np.iinfo(kind)
    low, high = max(own.min, limits.min), min(own.max, limits.max)
    signature = Signature("serve", (), (TensorSpec("y", dtype, (None, 3)),))
    fits = np.array([[low, high, 0], [1, high - 1, low + 1]], kind)
    tried = 0
    for format, path in session.artifacts(dtype):
        got = session.through(format, path, fits)
        assert isinstance(got, np.ndarray), (format, got)
        back, _ = accept_casts(signature, {"y": got}, session.casts)
        assert same_bits(back["y"], fits), (format, got)
        tried += 1
        for beyond in {own.min, own.max, low - 1, high + 1} - {low, high}:
            if own.min <= beyond <= own.max:
                reply = session.through(format, path, np.array([[0, beyond, 0]], kind))
                assert isinstance(reply, NotSupported), (format, beyond, reply)
                assert str(beyond) in reply.reason
    return tried


def is_refused(session: Session, dtype: str) -> None:
    """Not declared: the host does not even ask. A worker that is asked says no, or its library cannot load the file."""
    value = TEXT if dtype == "string" else random_bits(dtype, 2)
    for format, path in session.artifacts(dtype):
        got = session.through(format, path, value)
        assert isinstance(got, NotSupported | RemoteError), (format, got)


@pytest.mark.parametrize("value", ODD_BYTES, ids=lambda v: repr(v[:12]))
def test_strings_that_are_no_text_come_back_or_are_refused(session: Session, value: bytes) -> None:
    array = strings(b"x", value, b"y")
    for format, path in session.artifacts("string"):
        got = session.through(format, path, array)
        if "string" in session.hello["dtypes"]:
            assert isinstance(got, NotSupported) or same_bits(got, array), (format, got)
        else:
            assert isinstance(got, NotSupported | RemoteError), (format, got)
