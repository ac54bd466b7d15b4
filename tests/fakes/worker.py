"""A runtime worker that computes the tiny model of `tiny.py`, and breaks in the one way its argument names.

It speaks the protocol with bare os.read and os.write, not through exporter.workers.serve, because most of what it
does wrong a real worker loop would not let it do. It misbehaves only on the case whose first number is
`tiny.TRIGGER`, so that a test can see that the cells before and after are untouched.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from exporter import tensors
from exporter.tensors import Tensors

TRIGGER = 13.0
LATE = 4.0  # seconds; longer than the `run` limit of the runtimes that use it
Record = dict[str, Any]


def model(x: np.ndarray) -> Tensors:
    """x float32[n,3] -> double, square float32[n,3]; inverse float32[n,3] with NaN for 1/0; count int64[n]."""
    with np.errstate(divide="ignore"):
        inverse = np.where(x == 0, np.float32(np.nan), np.float32(1) / x)
    # odd numbers beyond 2**53, which no detour through a float survives
    count = np.int64(2**53 + 1) + 2 * np.arange(len(x), dtype=np.int64)
    return {"double": x * np.float32(2), "square": x * x, "inverse": inverse.astype(np.float32), "count": count}


def send(record: Record) -> None:
    os.write(4, json.dumps(record).encode() + b"\n")


def requests() -> Iterator[Record]:
    buffer = b""
    while chunk := os.read(3, 65536):
        buffer += chunk
        while b"\n" in buffer:
            line, _, buffer = buffer.partition(b"\n")
            yield json.loads(line)


def say(text: str) -> None:
    print(text, flush=True)
    print(text, file=sys.stderr, flush=True)


# -- wrong answers: outputs -> outputs


def _ulp(out: Tensors) -> Tensors:
    out["square"][0, 1] = np.nextafter(out["square"][0, 1], np.float32(np.inf))
    return out


def _nan_for_zero(out: Tensors) -> Tensors:
    out["double"][out["double"] == 0] = np.nan
    return out


def _infinity_for_nan(out: Tensors) -> Tensors:
    out["inverse"][np.isnan(out["inverse"])] = np.inf
    return out


WRONG: dict[str, Callable[[Tensors], Tensors]] = {
    "ulp": _ulp,
    "swap": lambda o: {**o, "double": o["square"], "square": o["double"]},
    "drop": lambda o: {n: a for n, a in o.items() if n != "square"},
    "rename": lambda o: {n.replace("square", "Square"): a for n, a in o.items()},
    "add": lambda o: {**o, "extra": o["double"]},
    "dtype": lambda o: {**o, "double": o["double"].astype(np.float64)},
    "broadcast": lambda o: {**o, "count": o["count"][:1]},
    "flat": lambda o: {**o, "double": o["double"].reshape(-1)},
    "nan-for-zero": _nan_for_zero,
    "infinity-for-nan": _infinity_for_nan,
    "empty": lambda o: {n: a[:0] for n, a in o.items()},
    # it says in `hello` that int64 crosses bit for bit
    "claims-int64": lambda o: {**o, "count": o["count"].astype(np.float64).astype(np.int64)},
}


# -- wrong behaviour: what happens instead of the reply to `run`, given the good reply


def _kill_myself(reply: Record) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang(reply: Record) -> None:
    child = subprocess.Popen(["sleep", "600"])  # a grandchild of the host that must not outlive us
    say(f"hanging with child {child.pid}")
    time.sleep(600)


def _late(reply: Record) -> None:
    time.sleep(LATE)
    send(reply)


def _twice(reply: Record) -> None:
    os.write(4, (json.dumps(reply).encode() + b"\n") * 2)


def _huge(reply: Record) -> None:
    try:
        for _ in range(40):
            os.write(4, b"x" * 2**20)
    except BrokenPipeError:
        time.sleep(600)


def _truncated(reply: Record) -> None:
    path = reply.pop("path")
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) - 3)
    send(reply)


def _no_file(reply: Record) -> None:
    os.unlink(reply.pop("path"))
    send(reply)


def _error(reply: Record) -> None:
    error = {"stage": "run", "code": "op-missing", "message": "Unknown op 'Frobnicate'", "trace": "at line 1"}
    send({"id": reply["id"], "error": error})


BEHAVIOUR: dict[str, Callable[[Record], None]] = {
    "exit-0": lambda r: os._exit(0),
    "exit-3": lambda r: os._exit(3),
    "segfault": _kill_myself,
    "hang": _hang,
    "late": _late,
    "twice": _twice,
    "wrong-id": lambda r: send({"id": r["id"] + 1, "ok": r["ok"]}),
    "old-id": lambda r: send({"id": 1, "ok": r["ok"]}),
    "not-json": lambda r: os.write(4, b"Traceback (most recent call last):\n"),  # type: ignore[dict-item,return-value]
    "not-utf8": lambda r: os.write(4, b'{"id": \xff}\n'),  # type: ignore[dict-item,return-value]
    "not-an-object": lambda r: os.write(4, b"[1]\n"),  # type: ignore[dict-item,return-value]
    "ok-and-error": lambda r: send({**r, "error": {"stage": "run", "code": "x", "message": "", "trace": ""}}),
    "field-missing": lambda r: send({"id": r["id"], "ok": {}}),
    "field-unknown": lambda r: send({"id": r["id"], "ok": {**r["ok"], "passed": True}}),
    "other-call": lambda r: send({**r, "ok": {**r["ok"], "call": "executeAsync"}}),
    "huge-record": _huge,
    "closes-pipe": lambda r: (os.close(4), time.sleep(600)),  # type: ignore[dict-item,return-value]
    "error-reply": _error,
    "unsupported-reply": lambda r: send({"id": r["id"], "unsupported": {"reason": "no int64 here"}}),
    "no-file": _no_file,
    "truncated-file": _truncated,
}


# -- the loop


def hello(mode: str, request: Record) -> Record:
    dtypes = ["float32", "int64"] if mode != "few-dtypes" else ["float32"]
    name = request["runtime"] if mode != "another-runtime" else "somebody-else"
    return {"protocol": 1, "runtime": name, "versions": {}, "formats": ["fake"], "dtypes": dtypes, "casts": {}}


# what the artifact takes, by mode: name, dtype and shape of its one input
TAKES: dict[str, tuple[str, str, list[int | None] | None]] = {
    "other-inputs": ("z", "float32", [None, 3]),
    "takes-int": ("x", "int64", [None, 3]),
    "takes-doubles": ("x", "float64", [None, 3]),
    "takes-vectors": ("x", "float32", [3]),
    "takes-pictures": ("x", "float32", [None, 3, 1]),
    "takes-four-columns": ("x", "float32", [None, 4]),
    "takes-anything": ("x", "float32", None),
    "takes-one-row": ("x", "float32", [1, 4]),
}


def load(mode: str) -> Record:
    name, dtype, shape = TAKES.get(mode, ("x", "float32", [None, 3]))
    names = ("double", "square", "inverse", "count")
    outputs = [{"name": n, "dtype": "int64" if n == "count" else "float32", "shape": None} for n in names]
    return {"handle": "h", "inputs": [{"name": name, "dtype": dtype, "shape": shape}], "outputs": outputs}


def run(mode: str, request: Record) -> None:
    inputs = tensors.load(request["inputs"])
    triggered = inputs["x"][0, 0] == TRIGGER
    outputs = model(inputs["x"])
    if triggered and mode in WRONG:
        outputs = WRONG[mode](outputs)
    tensors.save(request["outputs"], outputs)
    reply = {"id": request["id"], "ok": {"elapsed_ns": 1}}
    if not triggered or mode not in BEHAVIOUR:
        send(reply)
        return
    if mode in ("no-file", "truncated-file"):
        reply["path"] = request["outputs"]
    BEHAVIOUR[mode](reply)


def main() -> None:
    mode = sys.argv[1]
    say(f"pid {os.getpid()}")
    if mode == "never-starts":
        say("libfrobnicate.so.1: cannot open shared object file")
        sys.exit(1)
    for request in requests():
        op = request["op"]
        if mode == "noise":
            say('{"id": 1, "ok": {}}\n\x00\x1e not a record')
        if op == "load" and mode == "exit-0-at-load":
            os._exit(0)
        if op == "load" and mode == "error-at-load":
            error = {"stage": "load", "code": "corrupt", "message": "bad magic", "trace": ""}
            send({"id": request["id"], "error": error})
        elif op == "run":
            run(mode, request)
        else:
            ok = hello(mode, request) if op == "hello" else load(mode) if op == "load" else {}
            send({"id": request["id"], "ok": ok})
        if mode == "noise":
            print("no newline at the end", end="", flush=True)
        if op == "bye":
            break


if __name__ == "__main__":
    main()
