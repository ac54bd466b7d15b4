"""The plan: every recipe in every runtime that takes its format, for every case, written or not."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from exporter.bundle import Bundle
from exporter.model import Artifact, Case, Cell, Recipe
from exporter.parity.plan import NO_RUNTIME, plan
from exporter.runtimes import Runs, Runtime


def runtime(name: str, *formats: str, runs: Runs = Runs.ALL) -> Runtime:
    return Runtime(name, name, formats, "cpu", list, runs=runs)


def test_the_product_in_order(bundle: Bundle, tiny: ModuleType) -> None:
    both = replace(bundle, artifacts=(tiny.artifact("fake"), Artifact(Recipe("onnx", (("opset", "17"),)), "written")))
    cells = plan(both, [runtime("a", "fake", "onnx"), runtime("b", "onnx")])
    assert [str(c) for c in cells] == [
        f"{recipe}/{name}/serve/{case}"
        for recipe, name in (("fake", "a"), ("onnx:opset=17", "a"), ("onnx:opset=17", "b"))
        for case in ("before", "trigger", "after")
    ]
    assert len(set(cells)) == len(cells)


def test_a_runtime_for_some_artifacts_gets_all_where_it_is_named(bundle: Bundle) -> None:
    recipes = [Recipe("tflite"), Recipe("tflite-int8", (("io", "int8"),))]
    both = replace(bundle, artifacts=tuple(Artifact(recipe, "written") for recipe in recipes))
    every = runtime("every", "tflite")
    chosen = [every, runtime("some", "tflite", runs=Runs.QUANTIZED), runtime("none", "tflite", runs=Runs.ON_REQUEST)]
    found = {(c.recipe, c.runtime) for c in plan(both, chosen)}
    assert found == {("tflite", "every"), ("tflite-int8:io=int8", "every"), ("tflite-int8:io=int8", "some")}
    assert len({(c.recipe, c.runtime) for c in plan(both, chosen, named=True)}) == 6


def test_a_format_nobody_runs_stays_visible(bundle: Bundle) -> None:
    cells = plan(bundle, [runtime("a", "onnx")])
    assert {c.runtime for c in cells} == {NO_RUNTIME}
    assert len(cells) == 3


def test_refused_and_failed_recipes_are_planned_too(bundle: Bundle) -> None:
    refused = replace(bundle, artifacts=(Artifact(Recipe("onnx"), "refused", "why"),))
    assert len(plan(refused, [runtime("a", "onnx")])) == 3


def test_cases_of_every_signature(bundle: Bundle) -> None:
    extra = Case("zeros", "other", "cases/other/zeros.safetensors", "references/other/zeros.safetensors", "data", 7)
    cells = plan(replace(bundle, cases=(*bundle.cases, extra)), [runtime("a", "fake")])
    assert cells[-1] == Cell("fake", "a", "other", "zeros")
    assert len(cells) == 4


def test_nothing_in_nothing_out(bundle: Bundle) -> None:
    assert plan(replace(bundle, artifacts=()), [runtime("a", "fake")]) == ()
    assert plan(replace(bundle, cases=()), [runtime("a", "fake")]) == ()
