"""Reading input values from files: every kind of file, and a sentence for everything that can be wrong with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter import tensors
from exporter.errors import ExporterError, InputsError, UsageError
from exporter.inputs import KINDS, check_inputs_name, read_inputs, read_labelled
from exporter.model import Signature, TensorSpec
from exporter.parity.cases import fit

OUT = (TensorSpec("y", "float32", (None,)),)


def signature(*specs: tuple[str, str, tuple[int | None, ...]], name: str = "serve") -> Signature:
    return Signature(name, tuple(TensorSpec(*s) for s in specs), OUT)


ONE = signature(("x", "float32", (None, 3)))
TWO = signature(("left", "float32", (None, 2)), ("id", "int64", (None,)))
WORDS = signature(("words", "string", (None, 2)))


def read(path: Path, made: Signature = ONE) -> tensors.Tensors:
    found = read_inputs(str(path), [made])
    assert list(found) == [made.name]
    return fit(made, found[made.name])


def error(path: Path | str, made: Signature = ONE) -> ExporterError:
    with pytest.raises(ExporterError) as caught:
        read_inputs(str(path), [made])
    return caught.value


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# -- what is read


def test_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", left=np.ones((2, 2)), id=np.array([3, 4]))
    found = read(tmp_path / "f.npz", TWO)
    assert found["left"].dtype == np.float32
    assert found["id"].tolist() == [3, 4]


def test_npy_of_the_only_input(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.arange(6).reshape(2, 3))
    assert read(tmp_path / "f.npy")["x"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_safetensors(tmp_path: Path) -> None:
    words = np.array([[b"a", b"\xff"]], object)
    tensors.save(tmp_path / "f.safetensors", {"words": words})
    assert read(tmp_path / "f.safetensors", WORDS)["words"].tolist() == words.tolist()


def test_json_objects_and_lists(tmp_path: Path) -> None:
    named = write(tmp_path / "named.json", json.dumps({"id": [7, 2**53 + 1], "left": [[0.5, 1], [2, 3]]}))
    assert read(named, TWO)["id"].tolist() == [7, 2**53 + 1]
    assert read(write(tmp_path / "list.json", "[[1, 2.5, 3]]"))["x"].tolist() == [[1, 2.5, 3]]
    assert read(write(tmp_path / "words.json", '{"words": [["é", ""]]}'), WORDS)["words"].tolist() == [
        ["é".encode(), b""]
    ]


def test_json_numbers_for_half_floats(tmp_path: Path) -> None:
    half = signature(("x", "bfloat16", (None,)))
    assert read(write(tmp_path / "f.json", "[0.5, 2]"), half)["x"].astype(float).tolist() == [0.5, 2]


def test_csv_with_a_column_per_input_and_parts(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "left.0,id,left.1\n1,10,2\n3,11,4\n")
    found = read(path, TWO)
    assert found["left"].tolist() == [[1, 2], [3, 4]]
    assert found["id"].tolist() == [10, 11]


def test_csv_of_one_input_takes_every_column(tmp_path: Path) -> None:
    assert read(write(tmp_path / "f.csv", "a,b,c\n1,2,3\n"))["x"].tolist() == [[1, 2, 3]]


def test_csv_of_strings_keeps_commas_and_leading_zeros(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", 'a,b\n"x,y",007\n')
    assert read(path, WORDS)["words"].tolist() == [[b"x,y", b"007"]]


def test_csv_integers_beyond_what_a_float_holds(tmp_path: Path) -> None:
    ids = signature(("id", "int64", (None,)))
    assert read(write(tmp_path / "f.csv", f"id\n{2**53 + 1}\n"), ids)["id"].tolist() == [2**53 + 1]


def test_csv_booleans(tmp_path: Path) -> None:
    mask = signature(("mask", "bool", (None,)))
    assert read(write(tmp_path / "f.csv", "mask\n1\n0\n"), mask)["mask"].tolist() == [True, False]


# -- what is wrong


def test_every_kind_has_a_reader_and_another_suffix_is_named(tmp_path: Path) -> None:
    assert error(write(tmp_path / "f.parquet", "")).code == "inputs-kind"
    assert all(kind in error(tmp_path / "f.parquet").hint for kind in KINDS)


def test_a_missing_file(tmp_path: Path) -> None:
    assert error(tmp_path / "absent.npz").code == "missing-file"
    np.savez(tmp_path / "present.npz", x=np.zeros(3))
    assert "present.npz" in error(tmp_path / "presnt.npz").hint


def test_a_function_is_taken_only_where_functions_are(tmp_path: Path) -> None:
    (tmp_path / "m.py").touch()
    check_inputs_name(f"{tmp_path}/m.py:probe", functions=True)
    with pytest.raises(UsageError) as caught:
        check_inputs_name(f"{tmp_path}/m.py:probe", functions=False)
    assert caught.value.code == "inputs-kind"
    with pytest.raises(UsageError) as caught:
        check_inputs_name(f"{tmp_path}/absent.py:probe", functions=True)
    assert caught.value.code == "missing-file"


def test_several_signatures_need_a_choice(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.zeros((1, 3)))
    with pytest.raises(InputsError) as caught:
        read_inputs(str(tmp_path / "f.npy"), [ONE, signature(("x", "float32", (None,)), name="encode")])
    assert caught.value.code == "which-signature"
    assert "serve, encode" in caught.value.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_garbage_is_unreadable_and_not_a_traceback(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"f{kind}"
    path.write_bytes(b"\x80\x04\xff garbage\n\x00")
    found = error(path)
    assert found.code == "inputs-unreadable"
    assert path.name in found.message


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_file_is_unreadable(tmp_path: Path, kind: str) -> None:
    (tmp_path / f"f{kind}").write_bytes(b"")
    assert error(tmp_path / f"f{kind}").code == "inputs-unreadable"


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "f.npz").mkdir()
    assert error(tmp_path / "f.npz").code == "missing-file"


@pytest.mark.parametrize("kind", [".npy", ".npz"])
def test_pickles_are_never_loaded(tmp_path: Path, kind: str) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "exploded",))

    (np.save if kind == ".npy" else np.savez)(tmp_path / f"f{kind}", np.array([Bomb()], object))
    assert error(tmp_path / f"f{kind}").code == "inputs-unreadable"
    assert not (tmp_path / "exploded").exists()


def test_one_array_for_two_inputs(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.zeros((1, 3)))
    assert error(tmp_path / "f.npy", TWO).code == "which-input"
    assert error(write(tmp_path / "f.json", "[1]"), TWO).code == "which-input"


def test_an_unknown_name_suggests_the_known_one(tmp_path: Path) -> None:
    found = error(write(tmp_path / "f.json", '{"lefft": [1]}'), TWO)
    assert found.code == "input-names"
    assert "did you mean 'left'" in found.message
    found = error(write(tmp_path / "f.csv", "lefft,id\n1,2\n"), TWO)
    assert found.code == "input-names"
    assert "did you mean 'left'" in found.message


@pytest.mark.parametrize(
    "text", ['{"x": [[1, 2, 3], [4]]}', '{"x": [[1, "a", 3]]}', "3", "null", '"x"', "{", '{"x": {}}']
)
def test_json_that_holds_no_arrays(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "f.json", text)
    with pytest.raises(InputsError) as caught:
        fit(ONE, read_inputs(str(path), [ONE])["serve"])
    assert caught.value.code in ("inputs-unreadable", "input-dtype", "input-shape")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,c\n", "at least one row"),
        ("a,b,c\n1,2\n", "row 1 has 2 fields, the header has 3"),
        ("a,b,c\n1,2,3\n1,2,3,4\n", "row 2 has 4 fields"),
        ("a,b,c\n1,two,3\n", "two"),
    ],
)
def test_csv_that_is_no_table_of_numbers(tmp_path: Path, text: str, words: str) -> None:
    found = error(write(tmp_path / "f.csv", text))
    assert found.code == "inputs-unreadable"
    assert words in found.message


def test_a_csv_without_a_header_does_not_lose_its_first_row(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1,2,3,4\n5,6,7,8\n")
    with pytest.raises(InputsError, match="expected a header"):
        read_inputs(str(tmp_path / "x.csv"), [Signature("s", (TensorSpec("x", "float32", (None, 4)),), OUT)])


# -- labelled rows

LABELLED = Signature("serve", (TensorSpec("x", "float32", (None, 3)),), (TensorSpec("y", "float32", (None, 2)),))
BOTH = Signature("serve", (TensorSpec("left", "float32", (None, 2)), TensorSpec("id", "int64", (None,))), OUT)


def labelled(path: Path, made: Signature = LABELLED) -> tuple[list[Any], dict[str, Any]]:
    inputs, labels = read_labelled(str(path), [made])
    return [fit(made, inputs)[s.name].tolist() for s in made.inputs], {n: a.tolist() for n, a in labels.items()}


@pytest.mark.parametrize("name", ["y", "labels"])
def test_labels_beside_inputs(tmp_path: Path, name: str) -> None:
    rows, classes = np.arange(6).reshape(2, 3), np.array([1, 0])
    np.savez(tmp_path / "f.npz", **{"x": rows, name: classes})
    tensors.save(tmp_path / "f.safetensors", {"x": rows, name: classes})
    write(tmp_path / "f.json", json.dumps({"x": rows.tolist(), name: classes.tolist()}))
    write(tmp_path / "f.csv", f"x.0,x.1,x.2,{name}\n0,1,2,1\n3,4,5,0\n")
    write(tmp_path / "own.csv", f"width,height,{name},depth\n0,1,1,2\n3,4,0,5\n")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    for file in files:
        assert labelled(file) == ([rows.tolist()], {name: [1, 0]}), file


def test_labels_beside_several_inputs(tmp_path: Path) -> None:
    file = write(tmp_path / "f.csv", "left.0,left.1,id,y.0,y.1\n1,2,7,0,1\n3,4,8,1,0\n")
    assert labelled(file, BOTH) == ([[[1, 2], [3, 4]], [7, 8]], {"y": [[0, 1], [1, 0]]})


def test_unknown_names_beside_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", x=np.zeros((2, 3)), label=np.zeros(2))
    write(tmp_path / "f.json", '{"x": [[1, 2, 3]], "label": [1]}')
    for name in ("f.npz", "f.json"):
        with pytest.raises(InputsError, match=r"has 'label', did you mean 'labels'\?") as caught:
            read_labelled(str(tmp_path / name), [LABELLED])
        assert caught.value.hint == "inputs: ['x'], labels: ['y', 'labels']"


def test_one_array_has_no_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.zeros((2, 3)))
    with pytest.raises(UsageError, match="holds one array, expected inputs and labels"):
        read_labelled(str(tmp_path / "f.npy"), [LABELLED])
