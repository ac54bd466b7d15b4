"""Every layer of Keras, with each option that matters, in every format and in several runtimes.

`make test-grid` runs all rows, `make test` a sample. What is not exact is listed in expected.json and known.toml
with the reason; a cell that becomes better is red too. tools/support.py writes docs/support.md from the same lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from keras import layers

from exporter.formats import Format
from exporter.formats.registry import formats, is_quantized
from exporter.model import Recipe
from exporter.reference import load_module
from exporter.runtimes import Runs, Runtime
from exporter.runtimes.registry import runtimes

HERE = Path(__file__).parent
TOP = HERE.parents[2]
measure = load_module(HERE / "measure.py")
expectations = load_module(HERE / "expected.py")
support = load_module(TOP / "tools" / "support.py")
ROWS = measure.grid().ROWS
FORMATS = [recipe.id for recipe in measure.recipes()]
WANTED = expectations.expected(ROWS, FORMATS)
# a few models of each family, among them what is refused, rewritten and run row by row
SAMPLE = {
    "Dense-default",
    "Conv2D-same",
    "Conv2D-groups",
    "BatchNormalization-axis",
    "LSTM-masked",
    "GRU-default",
    "MultiHeadAttention-default",
    "UpSampling2D-bilinear",
    "Activation-gelu",
    "MaxPooling3D-default",
    "StringLookup-default",
    "ops.argmax",
}
# runtimes on other machines' processors or in another language's library: the same engines, run elsewhere in the tests
ELSEWHERE = re.compile(r"spark-|-java$|-node$|^litert-|^tensorflow-session$|^tflite-java$")


@pytest.fixture(scope="module")
def measured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Any]]:
    """`measured(row)` gives its outcomes; the rows of all tests that were selected are measured side by side."""
    chosen = [
        i.callspec.params["name"]
        for i in request.session.items
        if getattr(i, "callspec", None) and "name" in i.callspec.params and i.fspath == request.fspath
    ]
    # for a few rows one set of workers is enough
    lanes = measure.LANES if len(chosen) > 4 * len(SAMPLE) else 1
    with measure.measuring(tmp_path_factory.mktemp("grid"), lanes) as submit:
        futures: dict[str, Future[Any]] = {name: submit(name) for name in chosen}
        yield lambda name: futures[name].result()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in SAMPLE else [pytest.mark.matrix]) for n in ROWS])
def test_every_format_is_exact_or_says_why_not(name: str, measured: Callable[[str], Any]) -> None:
    found = {f: expectations.words_of(outcome) for f, outcome in measured(name).items()}
    assert set(found) == set(FORMATS)
    differing = {f: (found[f], WANTED[name][f]) for f in FORMATS if not expectations.agrees(found[f], WANTED[name][f])}
    assert not differing, "found, expected; if it is right: python tools/support.py"


def test_every_layer_of_keras_has_a_row_or_a_reason() -> None:
    public = {n: getattr(layers, n) for n in dir(layers) if isinstance(getattr(layers, n), type)}
    subjects = {row.subject for row in ROWS.values()}
    covered = {public[n] for n in subjects if n in public}  # an alias is the same class
    left_out, broken = measure.grid().LEFT_OUT, measure.grid().BROKEN
    assert {n for n, kind in public.items() if kind not in covered} == {*left_out, *broken}
    assert not subjects & {*left_out, *broken}


@pytest.mark.parametrize("layer", sorted(measure.grid().BROKEN))
def test_layers_that_keras_cannot_build_are_still_broken(layer: str) -> None:
    import keras

    x = keras.Input((6, 6, 3))
    with pytest.raises(ValueError, match="cycle"):
        keras.Model(x, getattr(layers, layer)(**measure.grid().BROKEN[layer])(x))


def test_every_format_and_kind_of_runtime_is_in_the_grid() -> None:
    plain = [n for n, f in formats().items() if isinstance(f, Format) and not is_quantized(Recipe(n)) and f.default]
    assert plain == FORMATS
    usual = {n for n, r in runtimes().items() if isinstance(r, Runtime) and r.runs == Runs.ALL}
    assert {n for n in usual if not ELSEWHERE.search(n)} == set(measure.RUNTIMES)


def test_every_refusal_names_what_and_the_way_out() -> None:
    """The layer or operation in quotes, or an op by its name; and what to use instead."""
    for row, cells in WANTED.items():
        for format_name, (kind, words) in cells.items():
            if kind == "refused":
                assert re.search(r"; (use|give|save|rename|build) |, use |use [a-z-]+", words), (
                    row,
                    format_name,
                    words,
                )
                assert re.search(r"'[^']+'|[A-Z][A-Za-z0-9]{2,}", words), (row, format_name, words)


def test_every_known_entry_is_needed() -> None:
    for entry in expectations.known():
        assert any(entry.fits(row, f) for row in ROWS for f in FORMATS), entry
        assert entry.kind in expectations.BY_HAND
        assert entry.why.strip(), entry


def test_every_fall_that_is_named_has_happened() -> None:
    """An entry with a cell that is carried would let the next fall of that cell through unseen."""
    for fall in expectations.falls():
        cells = {(row, f): WANTED[row][f][0] for row in ROWS for f in FORMATS if fall.fits(row, f)}
        assert cells, f"it fits no row: {fall}"
        assert not [cell for cell, kind in cells.items() if kind in expectations.CARRIED], fall
        assert len(fall.why.split()) >= 5, fall


def test_the_page_is_what_the_lists_say() -> None:
    assert support.page(support.PAGE.read_text()) == support.PAGE.read_text(), "run: python tools/support.py --page"
