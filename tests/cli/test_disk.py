"""Destinations that cannot be written and disks that fill: nothing half-written, the old bundle as it was."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MODELS = Path(__file__).with_name("models.py")


def digest(directory: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(directory.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("/dev/null/bundle", "cannot write /dev/null/bundle"),
        ("/proc/bundle", "cannot write /proc/bundle"),
        ("file", "file exists and is not a directory"),
        ("file/bundle", "cannot write file/bundle"),
        ("full", "full is not empty and holds no bundle"),
    ],
)
def test_a_destination_that_cannot_be_used_is_told_at_once(cli: Any, output: str, words: str) -> None:
    (cli.directory / "file").write_text("something else")
    (cli.directory / "full").mkdir()
    (cli.directory / "full" / "thesis.txt").write_text("irreplaceable")
    result = cli("convert", f"{MODELS}:functional", "-o", output, status=1)
    assert result.out == ""
    assert words in result.err
    assert "-o" in result.err.splitlines()[-1]
    assert "opening" not in result.err, "work was done before the destination was looked at"
    assert (cli.directory / "file").read_text() == "something else"
    assert (cli.directory / "full" / "thesis.txt").read_text() == "irreplaceable"


@pytest.fixture
def old(cli: Any, small: Any) -> Path:
    bundle = cli.directory / "bundle"
    shutil.copytree(small.root, bundle)
    return bundle


def check(result: Any, old: Path, before: dict[str, str]) -> None:
    assert result.err.count("error: ") == 1
    assert "free space" in result.err.splitlines()[-1]
    assert digest(old) == before
    assert [p.name for p in old.parent.iterdir() if not p.name.startswith("tmp-")] == ["bundle"]


def test_a_file_that_cannot_grow(cli: Any, old: Path) -> None:
    """A limit on the size of files stands for a quota: no right is needed to set it. 8 kB stop the staging."""
    before = digest(old)
    result = cli("convert", f"{MODELS}:functional", "-o", old, "--to", "saved-model", limit=8_000, status=1)
    check(result, old, before)


PAGE = 4096


@pytest.fixture
def tiny_disk(tmp_path: Path, small: Any) -> Iterator[Path]:
    """A file system that holds the small bundle and eight pages more."""
    place = tmp_path / "tmp-disk"
    place.mkdir()
    pages = sum(-(-p.stat().st_size // PAGE) if p.is_file() else 1 for p in small.root.rglob("*")) + 8
    mount = ["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE}", "none", place]
    if os.geteuid() != 0 or subprocess.run(mount).returncode:
        pytest.skip("mounting a tmpfs needs root; the limit on file sizes covers the same code")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_fills(cli: Any, small: Any, tiny_disk: Path) -> None:
    old = tiny_disk / "bundle"
    shutil.copytree(small.root, old)
    before = digest(old)
    result = cli("convert", f"{MODELS}:functional", "-o", old, "--to", "saved-model", status=1)
    assert "opening" in result.err
    check(result, old, before)

    # no room for the report of a verification either
    with (tiny_disk / "tmp-filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(PAGE))
    result = cli("verify", old, "--runtime", "onnxruntime", status=1)
    check(result, old, before)
    (tiny_disk / "tmp-filler").unlink()
    assert cli("verify", old, "--runtime", "onnxruntime", "--json").json["summary"]["verdict"] == "passed"


def test_no_room_for_temporary_files(cli: Any, small: Any) -> None:
    result = cli("verify", small.root, "--runtime", "onnxruntime", limit=50, status=1)
    assert "Traceback" not in result.err
    assert result.err.count("error: ") == 1
    assert "free space" in result.err
