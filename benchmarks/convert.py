"""How long one conversion takes, against the same formats written by the upstream tools, one process each.

usage: python benchmarks/convert.py [MODEL …]        default: digits-cnn mobilenet-v2

Both sides run on this machine in one go; what counts is the ratio. Seven float formats, upstream by Keras' own save and
export, tf2onnx.convert, TFLiteConverter and the published TF.js converter from its own environment (`make upstream`),
and four quantized TFLite variants on both sides, calibrated on the same rows. Ours computes the reference as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from exporter.formats._tfjs_published import published

FLOAT = ("keras", "h5", "saved-model", "tflite", "onnx", "tfjs-graph", "tfjs-layers")
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
# the published converter makes no graph model of a Keras 3 file: it takes the SavedModel written above
TFJS = {
    "tfjs-graph": ("--input_format=tf_saved_model", "--output_format=tfjs_graph_model", "{out}/sm", "{out}/graph"),
    "tfjs-layers": ("--input_format=keras_keras", "--output_format=tfjs_layers_model", "{source}", "{out}/layers"),
}
QUANTIZED = ("tflite-float16", "tflite-dynamic", "tflite-int8", "tflite-int16x8")
CONVERTER = """
import numpy as np, tensorflow as tf
converter = tf.lite.TFLiteConverter.from_saved_model(OUT + '/sm')
converter.optimizations = [tf.lite.Optimize.DEFAULT]
rows = np.load(OUT + '/rows.npz')
def representative():
    for i in range(len(rows[rows.files[0]])):
        yield {name: rows[name][i : i + 1] for name in rows.files}
SETTINGS
open(OUT + '/q.tflite', 'wb').write(converter.convert())
"""
SETTINGS = {
    "tflite-float16": "converter.target_spec.supported_types = [tf.float16]",
    "tflite-dynamic": "",
    "tflite-int8": (
        "converter.representative_dataset = representative\n"
        "converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]"
    ),
    "tflite-int16x8": (
        "converter.representative_dataset = representative\n"
        "converter.target_spec.supported_ops = "
        "[tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]"
    ),
}
UPSTREAM |= {name: CONVERTER.replace("SETTINGS", SETTINGS[name]) for name in QUANTIZED}
# the rows that a reference model's static recipes are calibrated on
ROWS = """
import numpy as np
from exporter import reference
module = reference.load_module(reference.path_of(NAME))
data = module.data()
rows = next(iter(module.calibration(data).values())) if hasattr(module, 'calibration') else data.train.inputs
np.savez(OUT + '/rows.npz', **{name: array[:256] for name, array in rows.items()})
"""


class Took(NamedTuple):
    """What one command took: seconds on the clock and of all processors, and its largest resident memory in bytes."""

    seconds: float
    cpu: float
    peak: int


def timed(command: list[str]) -> Took:
    """Run a command and its children. Exits with the end of its log where it fails."""
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            sys.exit(f"{' '.join(command)[:200]} failed:\n{log.read().decode(errors='replace')[-2000:]}")
    # Linux counts memory in units of 1024
    return Took(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def main(models: list[str]) -> None:
    for name in models:
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run([sys.executable, "-m", "exporter", "train", name, "-o", scratch, "-q"], check=True)
            timed([sys.executable, "-c", f"NAME, OUT = {name!r}, {scratch!r}\n{ROWS}"])
            source = Path(scratch) / "model.keras"
            chosen = [word for recipe in (*FLOAT, *QUANTIZED) for word in ("--to", recipe)]
            bundle = Path(scratch) / "bundle"
            options = ["--calibration", f"{scratch}/rows.npz", "--no-verify", "-q", *chosen]
            ours = timed(
                [sys.executable, "-m", "exporter", "convert", str(source), "-o", str(bundle), *options]
            ).seconds
            peak = json.loads((bundle / "bundle.json").read_text())["source"]["peak_bytes"]  # of the source worker
            theirs = {}
            for what, code in UPSTREAM.items():
                program = f"SOURCE, OUT = {str(source)!r}, {scratch!r}\n{code}"
                theirs[what] = timed([sys.executable, "-c", program])
            for what, arguments in TFJS.items():
                words = [word.format(source=source, out=scratch) for word in arguments]
                theirs[what] = timed([published().python, "-I", "-m", "tensorflowjs.converters.converter", *words])
        total = sum(took.seconds for took in theirs.values())
        upstream_peak = max(took.peak for took in theirs.values())
        count = len(FLOAT) + len(QUANTIZED)
        print(f"{name}: exporter, {count} recipes and references, one process: {ours:.1f} s, peak {peak / 1e6:.0f} MB")
        print(
            f"{name}: upstream, {len(theirs)} formats, one process each: {total:.1f} s "
            f"({', '.join(f'{k} {took.seconds:.1f}' for k, took in theirs.items())}), "
            f"largest peak {upstream_peak / 1e6:.0f} MB"
        )
        print(f"{name}: ratio {total / ours:.1f}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["digits-cnn", "mobilenet-v2"])
