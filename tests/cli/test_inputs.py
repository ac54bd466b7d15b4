"""Inputs: every kind of file through one artifact, what does not fit, and the options that make cases up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter import tensors

MODELS = Path(__file__).with_name("models.py")
ROWS = np.array([[0, 1, 2, 3], [-1, 0.5, 0.25, 8]], np.float32)


def write(path: Path, rows: np.ndarray = ROWS, name: str = "features") -> Path:
    """One input in the kind of file the suffix says."""
    if path.suffix == ".npz":
        np.savez(path, **{name: rows})
    elif path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".csv":
        header = ",".join(f"{name}.{i}" for i in range(rows.shape[1]))
        path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows.tolist())]) + "\n")
    elif path.suffix == ".json":
        path.write_text(json.dumps({name: rows.tolist()}))
    else:
        tensors.save(path, {name: rows})
    return path


def run(cli: Any, small: Any, inputs: Path, status: int = 0) -> Any:
    return cli(
        "run", small.root / "artifacts" / "onnx", "--inputs", inputs, "--outputs", "out.safetensors", status=status
    )


def test_every_kind_of_file_gives_the_same_outputs(cli: Any, small: Any) -> None:
    got = []
    for suffix in (".npz", ".npy", ".csv", ".json", ".safetensors"):
        run(cli, small, write(cli.directory / f"in{suffix}"))
        got.append(tensors.load(cli.directory / "out.safetensors")["outputs"])
    assert got[0].shape == (2, 3)
    assert np.abs(got[0]).max() > 0
    assert all(np.array_equal(got[0], other) for other in got)


WRONG: dict[str, tuple[Any, list[str]]] = {
    "name": (lambda p: write(p / "x.npz", name="featurs"), ["'featurs'", "did you mean 'features'?", "float32[?,4]"]),
    "json-name": (lambda p: write(p / "x.json", name="featurs"), ["'featurs'", "did you mean 'features'?"]),
    "shape": (lambda p: write(p / "x.npy", ROWS[:, :3]), ["float32[2", "expected features: float32[?,4]"]),
    "rank": (lambda p: write(p / "x.npy", ROWS[0]), ["float32[4]", "expected features: float32[?,4]"]),
    "no-rows": (lambda p: write(p / "x.npz", ROWS[:0]), ["no rows"]),
    "dtype": (lambda p: write(p / "x.npy", np.full((2, 4), "word")), ["string[2", "give numbers"]),
    "overflow": (lambda p: write(p / "x.npy", np.full((2, 4), 1e300)), ["float32 cannot hold"]),
    "complex": (lambda p: write(p / "x.npy", ROWS.astype(np.complex64)), ["complex64[2", "float32 cannot hold"]),
    "truncated": (lambda p: truncate(write(p / "x.npz")), ["cannot be read", "write it again"]),
    "not-json": (lambda p: text(p / "x.json", "{"), ["cannot be read", "write it again"]),
    "ragged": (lambda p: text(p / "x.json", '{"features": [[1, 2], [3]]}'), ["ragged"]),
    "csv-row": (lambda p: text(p / "x.csv", "a,b,c,d\n1,2,3,4\n1,2,3\n"), ["row 2 has 3 fields, the header has 4"]),
    "csv-word": (lambda p: text(p / "x.csv", "a,b,c,d\n1,2,3,four\n"), ["cannot be read"]),
    "pickle": (lambda p: pickled(p / "x.npy"), ["cannot be read"]),
}


def truncate(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:100])
    return path


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def pickled(path: Path) -> Path:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return path


@pytest.mark.parametrize("name", WRONG)
def test_inputs_that_do_not_fit(cli: Any, small: Any, name: str) -> None:
    make, words = WRONG[name]
    result = run(cli, small, make(cli.directory), status=1)
    assert result.out == ""
    assert result.err.count("error: ") == 1
    assert all(word in result.err for word in words), result.err
    assert not (cli.directory / "out.safetensors").exists()


def cases(bundle: Path) -> dict[str, dict[str, np.ndarray]]:
    return {p.stem: tensors.load(p) for p in (bundle / "cases").rglob("*.safetensors")}


def test_conversion_takes_a_file_or_a_function(cli: Any, files: Path) -> None:
    write(cli.directory / "own.csv", np.arange(24, dtype=np.float32).reshape(6, 4))
    common = ["--to", "keras", "--no-verify", "--quiet"]
    shown, listed = cli.together(
        ["convert", files / "functional.keras", "-o", "fn", "--inputs", f"{MODELS}:inputs", "--samples", "2", *common],
        ["convert", files / "functional.keras", "-o", "csv", "--inputs", "own.csv", "--batch-sizes", "1,4", *common,
         "--json"],
    )  # fmt: skip
    # nothing claims to have been run
    assert "bundle: fn (not verified)" in shown.out
    assert [(a["recipe"], a["status"]) for a in listed.json["artifacts"]] == [("keras", "written")]
    assert not (cli.directory / "fn" / "report.json").exists()
    function, csv = cases(cli.directory / "fn"), cases(cli.directory / "csv")
    assert function["data"]["features"].tolist() == np.arange(8).reshape(2, 4).tolist()  # --samples 2 of its 3 rows
    assert set(csv) == {"data", "batch-1", "batch-4", "zeros", "extremes"}
    assert csv["data"]["features"].shape == (6, 4)
    assert csv["batch-4"]["features"].shape == (4, 4)
    # extremes are those of the own data
    assert csv["extremes"]["features"][:, 0].tolist() == [0, 23]


def test_conversion_makes_cases_up_from_range_and_seed(cli: Any) -> None:
    common = ["--to", "keras", "--no-verify", "--quiet", "--range", "codes:3:9"]
    model = f"{MODELS}:integers"
    cli.together(
        ["convert", model, "-o", "a", "--seed", "1", *common], ["convert", model, "-o", "b", "--seed", "2", *common]
    )
    a, b = cases(cli.directory / "a"), cases(cli.directory / "b")
    assert set(a) == set(b) == {"batch-1", "batch-2", "batch-5", "zeros", "extremes"}
    for case in ("batch-1", "batch-2", "batch-5"):
        assert a[case]["codes"].dtype == np.int32
        assert a[case]["codes"].min() >= 3
        assert a[case]["codes"].max() <= 9
    assert a["extremes"]["codes"].tolist() == [[3, 3], [9, 9]]
    assert not np.array_equal(a["batch-5"]["codes"], b["batch-5"]["codes"])


def test_conversion_refuses_inputs_that_do_not_fit(cli: Any, files: Path) -> None:
    write(cli.directory / "two.npz")
    unknown, several = cli.together(
        ["convert", files / "functional.keras", "--range", "feature:0:1"],
        ["convert", files / "two", "--inputs", "two.npz"],
        status=1,
    )
    assert "--range names 'feature', did you mean 'features'?" in unknown.err
    assert "several signatures (one, other)" in several.err
    assert "--signature" in several.err
