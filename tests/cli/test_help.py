"""--help and --version: complete, and so light that they come at once."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

import exporter
from exporter.cli import COMMANDS, group

HEAVY = ("numpy", "rich", "tensorflow", "keras", "h5py", "onnx", "jsonschema")


def child(arguments: list[str]) -> tuple[int, str, str, set[str]]:
    """Run the command inside a child and return (status, stdout, stderr, top-level modules it imported)."""
    code = (
        "import sys, json, atexit\n"
        "top = lambda: sorted({m.split('.')[0] for m in sys.modules})\n"
        "atexit.register(lambda: sys.__stdout__.write('\\n' + json.dumps(top())))\n"
        f"sys.argv = ['exporter', *{arguments!r}]\n"
        "from exporter.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said, _, modules = done.stdout.rpartition("\n")
    return done.returncode, said, done.stderr, set(json.loads(modules))


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_complete_and_imports_nothing_heavy(command: str) -> None:
    status, out, err, modules = child([*filter(None, [command]), "--help"])
    assert (status, err) == (0, "")
    assert not modules & set(HEAVY)
    found = group if not command else group.get_command(click.Context(group), command)
    assert found is not None
    for parameter in found.params:
        if isinstance(parameter, click.Option):
            assert all(name in out for name in parameter.opts)
            assert parameter.help, f"{parameter.name} has no help"
    if not command:
        assert all(name in out for name in COMMANDS)


def test_version_imports_nothing_heavy() -> None:
    status, out, err, modules = child(["--version"])
    assert (status, err) == (0, "")
    assert out.strip() == f"exporter, version {exporter.__version__}"
    assert not modules & set(HEAVY)


def test_import_exporter_is_light() -> None:
    code = "import sys, exporter; print(sorted({m.split('.')[0] for m in sys.modules}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not set(eval(out, {"__builtins__": {}})) & {*HEAVY, "click"}


def test_no_command_shows_the_help_and_fails() -> None:
    status, out, err, _ = child([])
    assert status == 2
    assert "Commands:" in out + err
