"""How long one conversion takes, against the same formats written by the upstream tools, one process each.

usage: python benchmarks/convert.py [MODEL …]        default: digits-cnn mobilenet-v2

Both sides run on this machine in one go; what counts is the ratio. Upstream: Keras' own save and export,
tf2onnx.convert and TFLiteConverter (the published TF.js converter needs an environment of its own and is left out, so
the upstream side writes five formats and ours seven).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UPSTREAM = {
    "keras": "import keras; keras.models.load_model(SOURCE).save(OUT + '/m.keras')",
    "h5": "import keras; keras.models.load_model(SOURCE).save(OUT + '/m.h5')",
    "saved-model": "import keras; keras.models.load_model(SOURCE).export(OUT + '/sm', verbose=False)",
    "tflite": (
        "import tensorflow as tf; "
        "open(OUT + '/m.tflite', 'wb').write(tf.lite.TFLiteConverter.from_saved_model(OUT + '/sm').convert())"
    ),
    "onnx": (
        "import sys, runpy; sys.argv = ['tf2onnx', '--saved-model', OUT + '/sm', '--output', OUT + '/m.onnx', "
        "'--opset', '18']; runpy.run_module('tf2onnx.convert', run_name='__main__')"
    ),
}


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    if done.returncode:
        sys.exit(f"{' '.join(command)[:200]} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - began


def main(models: list[str]) -> None:
    for name in models:
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run([sys.executable, "-m", "exporter", "train", name, "-o", scratch, "-q"], check=True)
            source = Path(scratch) / "model.keras"
            bundle = Path(scratch) / "bundle"
            ours = timed(
                [sys.executable, "-m", "exporter", "convert", str(source), "-o", str(bundle), "--no-verify", "-q"]
            )
            peak = json.loads((bundle / "bundle.json").read_text())["source"]["peak_bytes"]
            theirs = {}
            for what, code in UPSTREAM.items():
                program = f"SOURCE, OUT = {str(source)!r}, {scratch!r}\n{code}"
                theirs[what] = timed([sys.executable, "-c", program])
            upstream_peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        total = sum(theirs.values())
        print(f"{name}: exporter, 7 formats and references, one process: {ours:.1f} s, peak {peak / 1e6:.0f} MB")
        print(
            f"{name}: upstream, {len(theirs)} formats, one process each: {total:.1f} s "
            f"({', '.join(f'{k} {v:.1f}' for k, v in theirs.items())}), peak of any child {upstream_peak / 1e6:.0f} MB"
        )
        print(f"{name}: ratio {ours / total:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["digits-cnn", "mobilenet-v2"])
