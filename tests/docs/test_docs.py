"""The documentation cannot lie: its commands and code are executed, its tables compared with fresh results."""

from __future__ import annotations

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


def without_figures(table: str) -> list[list[str]]:
    """Rows of a verdict table without size, error and needed, which differ from run to run."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [[row[0], *row[2:5]] for row in rows]


def test_verdict_table_is_what_a_run_gives(converted: Callable[[str], Any]) -> None:
    fresh = readme.verdict_table(converted("digits-cnn").report)
    assert without_figures(generated("verdict digits-cnn")) == without_figures(fresh)


def test_matrix_and_reasons_are_what_runs_give(converted: Callable[[str], Any]) -> None:
    reports = {name: converted(name).report for name in reference.names()}
    assert generated("matrix") == readme.matrix(reports)
    assert generated("reasons") == readme.reasons(reports)
    # errors differ with the processor; who was compared on how many models does not
    stated, fresh = (
        [line.split("|")[1:4] for line in text.splitlines()]
        for text in (generated("agreement"), readme.agreement(reports))
    )
    assert stated == fresh


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
