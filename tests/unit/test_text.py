"""Wording: suggestions, sizes, durations."""

from __future__ import annotations

import pytest

from exporter.text import cause, did_you_mean, human_bytes, human_seconds


def test_did_you_mean() -> None:
    assert did_you_mean("tflit", ["onnx", "tflite"]) == ", did you mean 'tflite'?"
    assert did_you_mean("zzz", ["onnx", "tflite"]) == ""
    assert did_you_mean("x", []) == ""


PLACES = "Detected at node map/while/DecodeJpeg defined at (most recent call last):\n"
CAUSES = [
    (f"Graph execution error:\n\n{PLACES}<stack traces unavailable>\nIt is empty.\n\t [[{{{{node a/b}}}}]] [Op:__f_94]",
     "It is empty."),
    (f'Graph execution error:\n\n{PLACES} File "/a/err.py", line 16, in <module>\n\n2 values, not 4\n',
     "2 values, not 4"),
    ("Graph execution error:\n\n2 root error(s) found.\n  (0) INVALID_ARGUMENT:  Unknown format.\n\t [[{{node a}}]]\n",
     "Unknown format."),
    ("{{function_node __wrapped____MklMatMul_device_/job:localhost/device:CPU:0}} Matrix size [Op:MatMul] name: ",
     "Matrix size"),
    ("Exception encountered when calling Dense.call().\n\n\x1b[1mInput 0 is wrong\x1b[0m\n\nArguments",
     "Exception encountered when calling Dense.call(). Input 0 is wrong"),
    ("<obj at 0x7f01> is none", "<obj> is none"),
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), CAUSES)
def test_the_cause_stands_behind_what_announces_it(text: str, said: str) -> None:
    assert cause(text) == said


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (4100, "4.1 kB"), (13_900_000, "13.9 MB"), (5 * 10**12, "5000.0 GB")],
)
def test_human_bytes(count: int, shown: str) -> None:
    assert human_bytes(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.31, "0.3 s"), (12, "12 s"), (185, "3 min 5 s"), (3600, "60 min 0 s")]
)
def test_human_seconds(seconds: float, shown: str) -> None:
    assert human_seconds(seconds) == shown
