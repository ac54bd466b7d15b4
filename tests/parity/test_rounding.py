"""The reason for the float32 tolerance, measured again: how far correct evaluations of a deep network are from exact.

If the reference got closer to float64 than the next stricter gate, the tolerance table would be too wide and this
test says so; if it got farther than half the gate, two correct runtimes could mismatch.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from exporter.parity.tolerance import row_for

PROGRAM = """
import json
import keras, numpy as np, tensorflow as tf
from exporter.reference import load_module, path_of

module = load_module(path_of("mobilenet-v2"))
data = module.data()
# without offsets the network amplifies rounding as untrained networks of users do
model = module.build(offset=0.0)
module.train(model, data)
keras.config.set_floatx("float64")

def widened(node):
    if isinstance(node, dict):
        if node.get("class_name") == "DTypePolicy":
            return {**node, "config": {"name": "float64"}}
        return {k: "float64" if k == "dtype" and v == "float32" else widened(v) for k, v in node.items()}
    return type(node)(widened(v) for v in node) if isinstance(node, (list, tuple)) else node

exact = keras.Model.from_config(widened(model.get_config()))
exact.set_weights([np.asarray(w, "f8") for w in model.get_weights()])
image = data.test.inputs["image"]
truth = exact(tf.constant(image, tf.float64), training=False).numpy()
assert truth.dtype == np.float64
reference = np.asarray(model(image, training=False))
scale = float(np.sqrt((truth**2).mean()))
print(json.dumps(float(np.abs(reference - truth).max()) / scale))
"""


@pytest.mark.matrix
def test_the_reference_itself_rounds_by_more_than_a_stricter_gate_would_allow() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    distance = json.loads(done.stdout.splitlines()[-1])
    gate = row_for("onnx", "cpu", same_environment=True).tolerance.atol
    assert gate / 10 < distance < gate / 2
