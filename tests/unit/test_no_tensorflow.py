"""Host code and its tests never load TensorFlow: that is what keeps them at seconds, and `--help` at a blink."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("tensorflow", "keras", "onnxruntime", "onnx", "tf2onnx", "ai_edge_litert")
# importing them is what these modules are for: they run in worker processes only
WORKERS = ("exporter.workers.", "exporter.source.", "exporter.formats._")
ALLOWED = {"exporter.workers.serve"}

IMPORT_ALL = """
import importlib, importlib.util, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {heavy!r}:
            raise AssertionError(name + " was imported")
sys.meta_path.insert(0, Refuse())
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except BaseException as error:
        sys.exit(f"{{name}}: {{error!r}}")
for file in {files!r}:
    spec = importlib.util.spec_from_file_location("probe", file)
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except BaseException as error:
        sys.exit(f"{{file}}: {{error!r}}")
"""


def run(modules: list[str], files: list[str]) -> str:
    program = IMPORT_ALL.format(heavy=HEAVY, modules=modules, files=files)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120).stderr


def host_modules() -> list[str]:
    found = []
    for path in sorted((ROOT / "exporter").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if (
            "_bundled" not in path.parts
            and path.stem != "__main__"
            and (name in ALLOWED or not name.startswith(WORKERS))
        ):
            found.append(name)
    return found


def test_no_module_of_the_host_imports_a_framework() -> None:
    modules = host_modules()
    assert len(modules) > 25
    assert run(modules, []) == ""


def test_no_unit_or_protocol_test_imports_a_framework() -> None:
    files = [str(p) for d in ("unit", "protocol", "fakes") for p in sorted((ROOT / "tests" / d).rglob("*.py"))]
    assert len(files) > 20
    # pytest imports them all in one process, so one of them is enough to slow every run down
    assert run([], files) == ""


@pytest.mark.parametrize("module", ["exporter", "exporter.model", "exporter.errors", "exporter.text"])
def test_the_vocabulary_needs_the_standard_library_only(module: str) -> None:
    program = f"import sys, {module}; print(sorted({{'numpy', 'click', 'rich', 'jsonschema'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
