"""RNN around the cells of Keras' own layers: the layer itself, or one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.formats._tfjs_keras_config import kind_of, plain
from exporter.formats._tfjs_layer_parts import variables_of
from exporter.formats._tfjs_parts import Part, Rewrite, Step, Unfit

_LAYERS = {"LSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "SimpleRNN"}
_OF_CELL = ("name", "dtype", "trainable", "build_config")


def _cells(part: Part) -> Sequence[Step] | None:
    cell = part.layer.cell
    cells = cell.cells if kind_of(cell) == "StackedRNNCells" else [cell]
    serialized = part.config["cell"]["config"]
    configs = serialized["cells"] if kind_of(cell) == "StackedRNNCells" else [part.config["cell"]]
    if any(kind_of(c) not in _LAYERS or type(c).__module__.partition(".")[0] != "keras" for c in cells):
        raise Unfit("one of its cells is not one of Keras' own")
    if len(cells) > 1 and (part.config["return_state"] or len(part.inputs) > 1):
        raise Unfit("TF.js has no stacked cells, and their states are not those of layers behind each other")
    whole = {k: v for k, v in part.config.items() if k != "cell"}
    batch, length, _ = part.inputs[0]
    steps = []
    for index, (each, config) in enumerate(zip(cells, configs, strict=True)):
        given = {k: plain(v) for k, v in config["config"].items() if k not in _OF_CELL}
        last = index == len(cells) - 1
        runs = {
            "go_backwards": whole["go_backwards"] and index == 0,
            "return_sequences": whole["return_sequences"] if last else True,
        }
        output = part.output if last else (batch, length, each.units)
        steps.append(Step(_LAYERS[kind_of(each)], {**whole, **given, **runs}, output, variables_of(each)))
    return steps


REWRITES = (Rewrite(("RNN",), _cells, "its cells are those of layers"),)
