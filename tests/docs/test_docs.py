"""The documentation cannot lie: its commands and code are executed, its tables compared with fresh results."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter import reference

TOP = Path(__file__).resolve().parents[2]
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]
readme = reference.load_module(TOP / "tools" / "readme.py")


def fenced(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.S | re.M)


def generated(name: str) -> str:
    """What README.md holds between two markers."""
    found = re.search(
        rf"<!-- begin generated: {re.escape(name)} -->\n(.*?)<!-- end generated -->",
        (TOP / "README.md").read_text(),
        re.S,
    )
    assert found, name
    return found[1].strip()


# column -> what figures below it count as: how many orders of magnitude lie below rounding says nothing
FIGURES = {"error": 1e-7, "largest error": 1e-7, "needed": 1e-4}
ORDER = 10.0
# A model that another processor trained has other weights: errors 12 times smaller were seen. Less is no lie by itself.
BETTER = 50.0
SIZES = 0.03  # share by which a file may differ: zip archives hold dates and versions
VARYING = ("bit-exact", "in")  # these go by the processor
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


def table_of(text: str) -> list[dict[str, str]]:
    """Rows of a Markdown table by the titles of its columns."""
    titles, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines())
    return [dict(zip(titles, row, strict=True)) for row in rows]


def differences(stated: str, fresh: str) -> list[str]:
    """What a table states otherwise than a fresh one: words exactly, sizes and figures by their order."""
    ours, theirs = table_of(stated), table_of(fresh)
    if len(ours) != len(theirs):
        return [f"{len(ours)} rows, expected {len(theirs)}"]
    return [
        f"row {number}, {title}: {row[title]!r}, a run gives {other[title]!r}"
        for number, (row, other) in enumerate(zip(ours, theirs, strict=True), 1)
        for title in dict.fromkeys([*row, *other])
        if title not in VARYING and not _agrees(title, row.get(title), other.get(title))
    ]


def _agrees(title: str, stated: str | None, fresh: str | None) -> bool:
    if not stated or not fresh or (title != "size" and title not in FIGURES):
        return stated == fresh
    if title == "size":
        (ours, our_step), (theirs, their_step) = map(_size, (stated, fresh))
        return abs(ours - theirs) <= SIZES * theirs + (our_step + their_step) / 2
    ours, theirs = (max(float(text), FIGURES[title]) for text in (stated, fresh))
    return 1 / ORDER <= ours / theirs <= BETTER


def _size(text: str) -> tuple[float, float]:
    """Bytes, and the unit of the last digit that is shown."""
    number, unit = text.split()
    return float(number) * UNITS[unit], UNITS[unit] / 10 ** len(number.partition(".")[2])


@pytest.mark.parametrize(
    ("column", "stated", "fresh", "alike"),
    [
        ("size", "323.4 kB", "330.1 kB", True),
        ("size", "323.4 kB", "412.8 kB", False),
        ("size", "323.4 kB", "323.4 MB", False),
        ("size", "1.0 MB", "1.1 MB", True),  # 1.04 and 1.06
        ("size", "1.0 MB", "1.3 MB", False),
        ("size", "1.0 MB", "", False),
        ("error", "8.6e-07", "1.3e-06", True),
        ("error", "0.0e+00", "6.4e-07", True),
        ("error", "8.6e-07", "9.6e-06", False),
        ("error", "8.6e-05", "1.0e-06", False),
        ("needed", "0.0054", "0.0025", True),
        ("needed", "0.0054", "0.06", False),
        ("largest error", "5.1e-05", "0", False),
        ("cells", "6/6", "5/6", False),
        ("verdict", "passed", "mismatched", False),
    ],
)
def test_a_figure_that_is_off_is_told(column: str, stated: str, fresh: str, alike: bool) -> None:
    one, other = (f"| recipe | {column} |\n|---|--:|\n| onnx | {cell} |" for cell in (stated, fresh))
    assert (differences(one, other) == []) == alike


def test_a_row_too_few_is_told() -> None:
    table = "| recipe | cells |\n|---|--:|\n| onnx | 6/6 |"
    assert differences(table, f"{table}\n| tflite | 6/6 |") == ["1 rows, expected 2"]


def test_verdict_table_is_what_a_run_gives(converted: Callable[[str], Any]) -> None:
    fresh = readme.verdict_table(converted("digits-cnn").report)
    assert differences(generated("verdict digits-cnn"), fresh) == []


@pytest.mark.matrix
def test_the_demo_ends_with_the_table_of_the_readme(tmp_path: Path) -> None:
    """Its own commands, as make prints them, beside the built environment instead of in the checkout."""
    # a make around these tests would have this one print its directories
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    asked = ["make", "-n", "demo"]
    printed = subprocess.run(asked, cwd=TOP, env=clean, capture_output=True, text=True, check=True).stdout
    set_up = ("tools/setup.py", "tools/npm.py ci", "touch ")
    commands = [line for line in printed.splitlines() if not any(words in line for words in set_up)]
    assert [line.split()[1] for line in commands] == ["tools/jvm.py", "convert"]
    for name in (".venv", "tools", "runtimes"):
        (tmp_path / name).symlink_to(TOP / name)
    for command in commands:
        done = subprocess.run(shlex.split(command), cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "build" / "digits-cnn" / "report.html").is_file()
    shown = json.loads((tmp_path / "build" / "digits-cnn" / "report.json").read_text())
    stated = table_of(generated("verdict digits-cnn"))
    assert differences(generated("verdict digits-cnn"), readme.verdict_table(shown)) == []
    for row in stated:
        assert re.search(rf"\b{row['runtime']} +{row['verdict']} +{row['cells']} ", done.stdout), row
    assert "PASSED: " in done.stdout


def test_matrix_and_reasons_are_what_runs_give(converted: Callable[[str], Any]) -> None:
    reports = {name: converted(name).report for name in reference.names()}
    assert generated("matrix") == readme.matrix(reports)
    assert generated("reasons") == readme.reasons(reports)
    assert differences(generated("agreement"), readme.agreement(reports)) == []


def test_command_line_reference_is_current() -> None:
    assert (TOP / "docs" / "cli.md").read_text() == readme.cli_reference(), "run: make readme"


def test_recipes_and_gates_of_quantization_are_current() -> None:
    tables = reference.load_module(TOP / "tools" / "quantization.py")
    page = (TOP / "docs" / "quantization.md").read_text()
    for name, content in (("recipes", tables.recipe_table()), ("gates", tables.gate_table())):
        assert readme.replace(page, name, content) == page, "run: make readme"


def test_options_and_kernels_of_tfjs_are_current() -> None:
    page = (TOP / "docs" / "tfjs.md").read_text()
    tables = reference.load_module(TOP / "tools" / "tfjs.py")
    for name, content in (("options", tables.option_table()), ("kernels", tables.kernel_table())):
        assert readme.replace(page, name, content) == page, "run: python tools/tfjs.py"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files that the README's examples name."""
    directory = tmp_path_factory.mktemp("readme")
    program = (
        "import keras; keras.utils.set_random_seed(1); "
        "layers = [keras.Input((4,), name='features'), keras.layers.Dense(2, name='scores')]; "
        "keras.Sequential(layers).save('model.keras')"
    )
    subprocess.run([sys.executable, "-c", program], cwd=directory, check=True, capture_output=True)
    rows = np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32)
    np.savez(directory / "samples.npz", features=rows)
    return directory


@pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.name, marks=[] if p.name == "README.md" else [pytest.mark.matrix]) for p in PAGES]
)
def test_every_shell_command_works(page: Path, workplace: Path) -> None:
    commands = [line.partition("#")[0].strip() for block in fenced(page, "sh") for line in block.splitlines()]
    assert page.name != "README.md" or len([c for c in commands if c.startswith("exporter")]) >= 5
    for command in filter(None, commands):
        words = shlex.split(command)
        if words[0] == "make":
            done = subprocess.run(["make", "-n", *words[1:]], cwd=TOP, capture_output=True, text=True)
        else:
            assert words[0] == "exporter", command
            done = subprocess.run(
                [sys.executable, "-m", *words], cwd=workplace, capture_output=True, text=True, timeout=600
            )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_every_make_target_named_in_the_text_exists() -> None:
    makefile = (TOP / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"`make ([a-z-]+)`", page.read_text()):
            assert re.search(rf"^{target}:", makefile, re.M), f"{page.name}: make {target}"


def test_python_in_the_readme_works(workplace: Path) -> None:
    for block in fenced(TOP / "README.md", "python"):
        done = subprocess.run([sys.executable, "-c", block], cwd=workplace, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        assert "'passed': " in done.stdout


def test_the_examples_in_contributing_are_a_format_and_a_runtime(tmp_path: Path) -> None:
    format_code, runtime_code = fenced(TOP / "CONTRIBUTING.md", "python")
    for kind, code in (("formats", format_code), ("runtimes", runtime_code)):
        assert len(code.splitlines()) <= 24, "the text promises about twenty lines"
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "example.py").write_text(code)
    import os

    environment = {**os.environ, "EXPORTER_PLUGINS": str(tmp_path)}
    command = [sys.executable, "-m", "exporter", "convert", "linear-spark-fixed", "--to", "graph-text", "--no-verify"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out")], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "artifacts" / "graph-text" / "serving_default.txt").read_text().startswith("node")
    listed = subprocess.run([*command[:3], "formats"], env=environment, capture_output=True, text=True, timeout=60)
    assert "graph-text-runner" in listed.stdout


def test_links_between_pages_resolve() -> None:
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links {target}"


def test_every_reference_model_is_described() -> None:
    for name in reference.names():
        text = (reference.path_of(name).parent / "README.md").read_text()
        assert f"exporter convert {name}" in text
