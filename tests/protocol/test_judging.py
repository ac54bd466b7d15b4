"""What a session makes of the answers: which scale, whose file, which gates; each by the outcome of a whole run."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from exporter import tensors
from exporter.bundle import Bundle, expected_path
from exporter.model import Recipe
from exporter.outcome import CellResult, Failed, Mismatched, Passed
from exporter.parity.plan import plan
from exporter.parity.run import run_cells
from exporter.parity.session import RunOptions
from exporter.parity.weights import WeightCheck
from exporter.protocol.crew import standing_crew
from exporter.runtimes import Limits, Runtime

WORKER = Path(__file__).parents[1] / "fakes" / "worker.py"


def runtime(*command: str) -> Runtime:
    argv = [sys.executable, *(command or (str(WORKER), "correct"))]
    return Runtime("good", "good", ("fake", "tflite"), "same-kernels", lambda: list(argv), limits=Limits(60, 60, 60))


def altered(tmp_path: Path, body: str) -> Runtime:
    """The fake worker, with `body` run in its module before its loop starts, in the mode `altered`."""
    script = tmp_path / "altered.py"
    prologue = f"""
        import sys
        from pathlib import Path
        from exporter.reference import load_module
        worker = load_module(Path({str(WORKER)!r}))
        sys.argv[1:] = ["altered"]
    """
    script.write_text(textwrap.dedent(prologue) + textwrap.dedent(body) + "\nworker.main()\n")
    return runtime(str(script))


def run(bundle: Bundle, chosen: Runtime, options: RunOptions | None = None) -> Mapping[str, CellResult]:
    """Case -> how its cell ended."""
    logs = bundle.root.parent / "logs"
    done = run_cells(bundle, plan(bundle, [chosen]), {"good": chosen}, logs, options or RunOptions(), lambda _: None)
    return {cell.case: result for cell, result in done.cells.items()}


def test_an_error_is_judged_by_the_output_over_all_cases(bundle: Bundle, tiny: ModuleType, tmp_path: Path) -> None:
    """`double` is large in one case and nearly zero in the others: its own RMS there would allow half as much again."""
    inputs = {"before": [[0.1] * 3] * 2, "trigger": [[tiny.TRIGGER] * 3, [3.0] * 3], "after": [[0.1] * 3]}
    for case in bundle.cases:
        x = np.array(inputs[case.name], np.float32)
        tensors.save(bundle.root / case.inputs, {"x": x})
        tensors.save(bundle.root / case.reference, tiny._worker.model(x))
    # allowed with S of all cases 1.8e-3, with S of the case alone 2.5e-3
    drift = """
        def drift(out, by):
            out["double"][1, 0] += by
            return out
        worker.WRONG["altered"] = lambda out: drift(out, {})
    """
    assert isinstance(run(bundle, altered(tmp_path, drift.format(1e-3)))["trigger"].outcome, Passed)
    found = run(bundle, altered(tmp_path, drift.format(2.1e-3)))["trigger"].outcome
    assert isinstance(found, Mismatched)
    assert found.comparison.problem.startswith("double[1, 0] is")


def test_outputs_that_an_earlier_run_left_are_not_read(bundle: Bundle, tmp_path: Path) -> None:
    """A worker that writes its outputs and then reports an error, and the next time says ok and writes nothing."""
    forgetful = altered(
        tmp_path,
        """
        runs = []
        honest = worker.run
        worker.BEHAVIOUR["altered"] = worker.BEHAVIOUR["error-reply"]
        worker.TRIGGER = worker.np.array  # no number equals it
        def forget(mode, request):
            runs.append(request["outputs"])
            if runs.count(request["outputs"]) > 1:
                worker.send({"id": request["id"], "ok": {"elapsed_ns": 1}})
                return
            outputs = worker.model(worker.tensors.load(request["inputs"])["x"])
            worker.tensors.save(request["outputs"], outputs)
            worker.BEHAVIOUR["error-reply"]({"id": request["id"]})
        worker.run = forget
        """,
    )
    with standing_crew() as crew:
        first, second = (run(bundle, forgetful, RunOptions(crew=crew)) for _ in range(2))
    for result in first.values():
        assert isinstance(result.outcome, Failed)
        assert result.outcome.code == "op-missing"
    for result in second.values():
        assert isinstance(result.outcome, Failed)
        assert (result.outcome.stage, result.outcome.code) == ("protocol", "outputs")


def quantized(bundle: Bundle, tiny: ModuleType, recipe: str, kinds: tuple[str, ...]) -> Bundle:
    """The bundle with an artifact of a quantized recipe, which is to give exactly what the source does."""
    made = replace(bundle, artifacts=(tiny.artifact(recipe),))
    for case in bundle.cases:
        for kind in kinds:
            path = bundle.root / expected_path(Recipe(recipe), case, kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            tensors.save(path, bundle.expected(case))
    for signature in made.artifacts[0].entries.values():
        file = bundle.root / "artifacts" / recipe / signature.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"FAKE")
    return made


@pytest.mark.parametrize(
    ("recipe", "kinds", "lost"),
    [
        ("tflite-float16", ("own",), ""),
        ("tflite-float16", (), "own"),
        ("tflite-int8", ("own", "kernels"), ""),
        ("tflite-int8", ("kernels",), "own"),
        ("tflite-int8", ("own",), "kernels"),
    ],
)
def test_a_quantized_artifact_without_what_it_should_give_has_no_verdict(
    bundle: Bundle, tiny: ModuleType, recipe: str, kinds: tuple[str, ...], lost: str
) -> None:
    for result in run(quantized(bundle, tiny, recipe, kinds), runtime()).values():
        if not lost:
            assert isinstance(result.outcome, Passed)
        else:
            assert isinstance(result.outcome, Failed)
            assert (result.outcome.stage, result.outcome.code) == ("compare", "expected")


@pytest.mark.parametrize("origin", ["data", "evaluation", "generated"])
def test_noise_is_gated_where_the_inputs_are_data(
    bundle: Bundle, tiny: ModuleType, tmp_path: Path, origin: str
) -> None:
    """20 dB where 50 are asked for; made-up inputs count as long as there is nothing else."""
    noisy = altered(
        tmp_path,
        """
        def noise(out):
            out["double"] = out["double"] * worker.np.float32(1.1)
            return out
        worker.WRONG["altered"] = noise
        """,
    )
    made = quantized(bundle, tiny, "tflite-float16", ())
    for case in made.cases:
        path = bundle.root / expected_path(Recipe("tflite-float16"), case, "own")
        path.parent.mkdir(parents=True, exist_ok=True)
        outputs = bundle.expected(case)
        tensors.save(path, outputs | {"double": outputs["double"] * np.float32(1.1 if case.name == "trigger" else 1)})
    data = [replace(case, origin=origin if case.name == "trigger" else "data") for case in made.cases]
    found = run(replace(made, cases=tuple(data)), noisy)["trigger"].outcome
    if origin == "generated":
        assert isinstance(found, Passed)
        alone = tuple(replace(case, origin=origin) for case in made.cases)
        found = run(replace(made, cases=alone), noisy)["trigger"].outcome
    assert isinstance(found, Mismatched)
    assert found.comparison.code == "quality"


@pytest.mark.parametrize("problem", ["", "stored weight 0/kernel[3] is 1, the source has 2"])
def test_a_damaged_weight_is_red_in_every_cell_of_its_artifact(bundle: Bundle, tiny: ModuleType, problem: str) -> None:
    made, chosen = quantized(bundle, tiny, "tflite-float16", ("own",)), runtime()
    check = {"tflite-float16": WeightCheck(1, 0.5, "0/kernel", problem)}
    logs = bundle.root.parent / "logs"
    done = run_cells(made, plan(made, [chosen]), {"good": chosen}, logs, RunOptions(), lambda _: None, check)
    for result in done.cells.values():
        assert isinstance(result.outcome, Passed if not problem else Mismatched)
        assert result.outcome.comparison.code == ("weights" if problem else "")
        assert result.outcome.comparison.problem == problem
