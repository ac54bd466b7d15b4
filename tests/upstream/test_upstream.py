"""The published converter beside ours: on every model, through the command line, and as docs/upstream.md says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from exporter import reference
from exporter.formats._tfjs_published import published

TOP = Path(__file__).resolve().parents[2]
page = reference.load_module(TOP / "tools" / "upstream_page.py")
readme = reference.load_module(TOP / "tools" / "readme.py")
KERAS_3 = ("covid-lstm", "digits-cnn", "imdb-bilstm", "mobilenet-v2", "multi-io", "string-lookup")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory):
    """Every model on every way, in TF.js."""
    directory = tmp_path_factory.mktemp("upstream")
    return page.comparison().compared(directory / "bundle", directory / "scratch")


def outcomes(found, way):
    return {
        (name, backend): word
        for name, verdicts in found.verdicts[way].items()
        for backend, (word, _) in verdicts.items()
    }


def test_it_is_the_published_converter() -> None:
    assert published().versions["tensorflowjs"] == "4.22.0"
    assert published().versions["tensorflow"].startswith("2.19.")


def test_every_model_has_a_verdict_on_every_way(found) -> None:
    names = {signature.name for signature in found.signatures}
    assert set(reference.names()) - {"two-signatures"} < names
    for way in page.WAYS:
        cells = outcomes(found, way)
        assert set(cells) == {(name, backend) for name in names for backend in ("cpu", "wasm")}
        assert set(cells.values()) <= set(page.WORDS)


def test_what_exporter_writes_loads_and_is_right(found) -> None:
    zoo = reference.load_module(TOP / "tests" / "parity" / "tfjs_zoo.py")
    for way in ("tfjs-graph", "tfjs-layers"):
        assert set(outcomes(found, way).values()) == {"right", "refused"}, way
    graphs = outcomes(found, "tfjs-graph")
    assert {name for (name, _), word in graphs.items() if word == "refused"} == set(zoo.NOT_IN_GRAPH)


def test_keras_3_is_not_read_by_the_published_converter(found) -> None:
    """Where this fails the published converter has learnt Keras 3: the page, and our reasons, have to be rewritten."""
    models = [name for name in KERAS_3 if name in found.ways["tfjs-layers:writer=tensorflowjs"].entries]
    assert models == list(KERAS_3), "it writes them without a word"
    for way in ("tfjs-layers:writer=tensorflowjs", "tfjs-layers:from=h5,writer=tensorflowjs"):
        assert set(outcomes(found, way).values()) - {"not converted"} == {"does not load", "refused"}
    assert set(outcomes(found, "tfjs-graph:from=h5,writer=tensorflowjs").values()) == {"not converted", "refused"}


def test_recurrent_graphs_of_the_published_converter_do_not_run(found) -> None:
    words = found.verdicts["tfjs-graph:writer=tensorflowjs"]
    for name in ("gru", "lstm", "bilstm", "covid-lstm", "imdb-bilstm"):
        assert {word for word, _ in words[name].values()} == {"does not run"}


def test_the_page_is_what_this_run_gives(found) -> None:
    text = page.PAGE.read_text()
    for name, content in page.blocks(found).items():
        assert readme.replace(text, name, content) == text, f"{name}: run: make upstream-page"


def test_a_recipe_is_written_by_it(tmp_path) -> None:
    """End to end: names that it lost are found again, two signatures become two models, and the report says who."""
    recipe = "tfjs-graph:writer=tensorflowjs"
    for name, signatures in (("multi-io", 1), ("two-signatures", 2)):
        command = [sys.executable, "-m", "exporter", "convert", name, "-o", str(tmp_path / name), "--to", recipe]
        done = subprocess.run(
            [*command, "--to", "tfjs-layers:writer=tensorflowjs,shard-size=1kB", "--runtime", "tfjs-node-cpu"],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1, done.stderr  # the layers recipe is named, and no runtime can confirm it
        report = json.loads((tmp_path / name / "report.json").read_text())
        artifact = next(a for a in report["artifacts"] if a["recipe"] == recipe)
        assert artifact["versions"]["tensorflowjs"] == "4.22.0"
        assert len(artifact["signatures"]) == signatures
        assert {c["outcome"] for c in report["cells"] if c["recipe"] == recipe} == {"passed"}
        other = next(a for a in report["artifacts"] if a["recipe"] != recipe)
        assert (other["status"], other["reason"][:12]) == (
            ("written", "") if signatures == 1 else ("refused", "the source i")
        )
