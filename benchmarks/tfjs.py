"""How long both TF.js formats take, against the published converter: its command line, one process per format.

usage: python benchmarks/tfjs.py [MODEL …]        default: mobilenet-v2

Both sides start from one `.keras` file and run on this machine in one go, in turns; what counts is the ratio. The
published converter makes no graph model of a Keras 3 file: the SavedModel that it takes instead is made by the Keras
of its environment, in a process more, and the ratio is given with and without that. Needs `make upstream`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from convert import Took, timed

from exporter.formats._tfjs_published import published

TURNS = 3
EXPORT = "import keras, sys; keras.models.load_model(sys.argv[1]).export(sys.argv[2], verbose=False)"


def commands(source: Path, scratch: Path) -> dict[str, list[str]]:
    """What is timed -> its command."""
    python = published().python
    converter = [python, "-I", "-m", "tensorflowjs.converters.converter"]
    exporter = [sys.executable, "-m", "exporter", "convert", str(source), "-o", str(scratch / "bundle")]
    saved_model, kind = str(scratch / "saved_model"), "--output_format=tfjs_{}_model"
    return {
        "exporter": [*exporter, "--to", "tfjs-graph", "--to", "tfjs-layers", "--no-verify", "-q"],
        "SavedModel": [python, "-I", "-c", EXPORT, str(source), saved_model],
        "graph": [*converter, "--input_format=tf_saved_model", kind.format("graph"), saved_model, f"{scratch}/graph"],
        "layers": [*converter, "--input_format=keras_keras", kind.format("layers"), str(source), f"{scratch}/layers"],
    }


def report(name: str, best: Mapping[str, Took]) -> None:
    """Print the figures and both ratios, by the clock and by processor time."""
    for unit, of in (("s", lambda took: took.seconds), ("s of CPU", lambda took: took.cpu)):
        figures = {what: of(took) for what, took in best.items()}
        print(f"{name}: {', '.join(f'{what} {value:.1f}' for what, value in figures.items())} {unit}")
        own, theirs = figures["exporter"], figures["graph"] + figures["layers"]
        ratios = [(theirs + figures["SavedModel"]) / own, theirs / own]
        print(f"{name}: ratio {ratios[0]:.1f}, without the SavedModel {ratios[1]:.1f}")


def main(models: list[str]) -> None:
    for name in models:
        with tempfile.TemporaryDirectory() as directory:
            scratch = Path(directory)
            subprocess.run([sys.executable, "-m", "exporter", "train", name, "-o", directory, "-q"], check=True)
            took: dict[str, list[Took]] = {}
            for _ in range(TURNS):
                for what, command in commands(scratch / "model.keras", scratch).items():
                    took.setdefault(what, []).append(timed(command))
            report(name, {what: Took(*map(min, zip(*turns, strict=True))) for what, turns in took.items()})


if __name__ == "__main__":
    main(sys.argv[1:] or ["mobilenet-v2"])
