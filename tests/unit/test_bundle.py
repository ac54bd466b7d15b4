"""The bundle: what was written is what is read, every kind of damage has its own error, and failures leave the old."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from exporter.bundle import Bundle, building, check_destination, disk_error, inside, publish, write_bytes, write_json
from exporter.errors import BundleError
from exporter.model import Artifact, Recipe

MODEL = "artifacts/fake/model.fake"


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(BundleError) as caught:
        action()
    assert caught.value.message
    return caught.value.code


def edit(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads((root / "bundle.json").read_text())
    change(data)
    (root / "bundle.json").write_text(json.dumps(data))


def test_what_is_saved_is_loaded(bundle: Bundle, tiny: ModuleType) -> None:
    refused = Artifact(Recipe("onnx", (("opset", "17"),)), "refused", "why", "refused", explicit=True)
    saved = replace(bundle, artifacts=(*bundle.artifacts, refused), notes=("a note",))
    saved.save()
    loaded = Bundle.load(bundle.root)
    assert loaded == saved
    assert loaded.signature("serve") == tiny.SIGNATURE
    assert loaded.artifact_path(loaded.artifacts[0], "serve") == bundle.root / MODEL
    case = loaded.cases[1]
    assert np.array_equal(loaded.inputs(case)["x"], tiny.INPUTS["trigger"])
    assert set(loaded.expected(case)) == {"double", "square", "inverse", "count"}


def test_saving_is_deterministic(bundle: Bundle) -> None:
    before = (bundle.root / "bundle.json").read_bytes()
    Bundle.load(bundle.root).save()
    assert (bundle.root / "bundle.json").read_bytes() == before


# -- damage


@pytest.mark.parametrize("file", [MODEL, "cases/serve/before.safetensors", "references/serve/after.safetensors"])
def test_one_changed_byte(bundle: Bundle, file: str) -> None:
    path = bundle.root / file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert code_of(lambda: Bundle.load(bundle.root)) == "changed-file"


def test_a_byte_more(bundle: Bundle) -> None:
    with (bundle.root / MODEL).open("ab") as file:
        file.write(b"\x00")
    assert code_of(lambda: Bundle.load(bundle.root)) == "changed-file"


def test_a_missing_file_and_a_directory_in_its_place(bundle: Bundle) -> None:
    (bundle.root / MODEL).unlink()
    assert code_of(lambda: Bundle.load(bundle.root)) == "missing-file"
    (bundle.root / MODEL).mkdir()
    assert code_of(lambda: Bundle.load(bundle.root)) == "missing-file"


@pytest.mark.parametrize("file", ["artifacts/fake/extra", "cases/serve/new.safetensors", "references/.hidden"])
def test_a_file_that_is_not_listed(bundle: Bundle, file: str) -> None:
    (bundle.root / file).write_bytes(b"")
    assert code_of(lambda: Bundle.load(bundle.root)) == "unlisted-file"


def test_a_dangling_link_is_not_overlooked(bundle: Bundle) -> None:
    (bundle.root / "artifacts/fake/link").symlink_to("nowhere")
    assert code_of(lambda: Bundle.load(bundle.root)) == "unlisted-file"


def test_logs_and_reports_may_come_and_go(bundle: Bundle) -> None:
    (bundle.root / "logs").mkdir()
    (bundle.root / "logs" / "x.log").write_text("x")
    (bundle.root / "report.json").write_text("{}")
    assert Bundle.load(bundle.root) == bundle


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "artifacts/../../secret", "artifacts/fake/../../../x"])
def test_paths_that_leave_the_bundle(bundle: Bundle, path: str) -> None:
    (bundle.root.parent / "secret").write_text("s")

    def entry(data: dict[str, Any]) -> None:
        data["artifacts"][0]["signatures"]["serve"]["path"] = "../" + path

    def listed(data: dict[str, Any]) -> None:
        data["files"][0]["path"] = path

    good = (bundle.root / "bundle.json").read_text()
    for change in (entry, listed):
        (bundle.root / "bundle.json").write_text(good)
        edit(bundle.root, change)
        assert code_of(lambda: Bundle.load(bundle.root)) == "unsafe-path"
    assert code_of(lambda: inside(bundle.root, path)) == "unsafe-path"


def test_a_link_that_leaves_the_bundle_is_not_followed(bundle: Bundle) -> None:
    outside = bundle.root.parent / "outside"
    outside.mkdir()
    (bundle.root / MODEL).rename(outside / "model.fake")
    (bundle.root / MODEL).symlink_to(outside / "model.fake")
    assert code_of(lambda: Bundle.load(bundle.root)) == "unsafe-path"


def test_a_bundle_reached_through_a_link_is_a_bundle(bundle: Bundle) -> None:
    link = bundle.root.parent / "link"
    link.symlink_to(bundle.root)
    assert Bundle.load(link).artifacts == bundle.artifacts


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"version": 1}', "[" * 100_000, '{"version": 1, "source": {}, "files": 3}', "\xff"],
)
def test_an_index_that_is_no_index(bundle: Bundle, text: str) -> None:
    (bundle.root / "bundle.json").write_bytes(text.encode("latin-1"))
    assert code_of(lambda: Bundle.load(bundle.root)) == "broken-bundle"


def _drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.pop(key) and None


BREAKS: dict[str, Callable[[dict[str, Any]], None]] = {
    **{f"no {key}": _drop(key) for key in ("source", "reference", "tool", "signatures", "artifacts", "cases", "files")},
    "signatures of an artifact are a list": lambda d: d["artifacts"][0].update(signatures=[1]),
    "no outputs": lambda d: d["signatures"][0].update(outputs=[]),
    "a recipe without its value": lambda d: d["artifacts"][0].update(recipe="onnx:opset"),
    "a case of no signature": lambda d: d["cases"][0].update(signature="other"),
    "an artifact of no signature": lambda d: d["artifacts"][0]["signatures"].update(
        other=d["artifacts"][0]["signatures"]["serve"]
    ),
    "a file without its hash": lambda d: d["files"][0].pop("sha256") and None,
}


@pytest.mark.parametrize("name", BREAKS)
def test_an_index_with_a_hole(bundle: Bundle, name: str) -> None:
    edit(bundle.root, BREAKS[name])
    assert code_of(lambda: Bundle.load(bundle.root)) == "broken-bundle"


def test_another_version_is_not_called_broken(bundle: Bundle) -> None:
    edit(bundle.root, lambda d: d.update(version=2))
    assert code_of(lambda: Bundle.load(bundle.root)) == "bundle-version"


def test_files_that_cases_and_artifacts_need_must_be_listed(bundle: Bundle) -> None:
    good = (bundle.root / "bundle.json").read_text()
    edit(bundle.root, lambda d: d["cases"][0].update(reference="references/serve/absent.safetensors"))
    assert code_of(lambda: Bundle.load(bundle.root)) == "missing-file"
    (bundle.root / "bundle.json").write_text(good)
    edit(bundle.root, lambda d: d["artifacts"][0]["signatures"]["serve"].update(path="absent.fake"))
    assert code_of(lambda: Bundle.load(bundle.root)) == "missing-file"


def test_not_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "absent", tmp_path / "file"):
        assert code_of(lambda path=path: Bundle.load(path)) == "not-a-bundle"


# -- writing


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def siblings(root: Path) -> list[str]:
    return sorted(p.name for p in root.parent.iterdir())


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_an_existing_bundle_survives_an_exception_while_building(bundle: Bundle, error: BaseException) -> None:
    before = tree(bundle.root)

    def build() -> None:
        with building(bundle.root) as work:
            (work / "bundle").mkdir()
            (work / "bundle" / "half").write_text("half")
            raise error

    with pytest.raises(type(error)):
        build()
    assert tree(bundle.root) == before
    assert siblings(bundle.root) == ["bundle"]


def test_publishing_replaces_the_old_bundle_as_a_whole(bundle: Bundle, tiny: ModuleType) -> None:
    (bundle.root / "logs").mkdir()
    (bundle.root / "logs" / "old.log").write_text("old")
    with building(bundle.root) as work:
        tiny.write(work / "bundle", [tiny.artifact("fake"), tiny.artifact("other")])
        publish(work / "bundle", bundle.root)
    assert [a.recipe.id for a in Bundle.load(bundle.root).artifacts] == ["fake", "other"]
    assert not (bundle.root / "logs").exists()
    assert siblings(bundle.root) == ["bundle"]


def test_publishing_to_a_new_place_makes_its_parents(tmp_path: Path, tiny: ModuleType) -> None:
    destination = tmp_path / "a" / "b" / "model"
    with building(destination) as work:
        tiny.write(work / "bundle")
        publish(work / "bundle", destination)
    Bundle.load(destination)
    assert siblings(destination) == ["model"]
    assert destination.stat().st_mode & 0o755 == 0o755


def test_an_existing_bundle_survives_a_failure_while_publishing(bundle: Bundle) -> None:
    """The new directory is gone when it is to be moved: neither the atomic swap nor the two renames can succeed."""
    before = tree(bundle.root)
    with pytest.raises(BundleError, match="cannot write"), building(bundle.root) as work:
        publish(work / "absent", bundle.root)
    assert tree(bundle.root) == before
    assert siblings(bundle.root) == ["bundle"]


def test_there_is_a_complete_bundle_at_every_moment(bundle: Bundle, tiny: ModuleType, tmp_path: Path) -> None:
    """A reader in another process, loading in a loop while the bundle is replaced ten times, never sees a gap."""
    reader = tmp_path / "reader.py"
    reader.write_text(
        textwrap.dedent("""
        import sys
        from pathlib import Path
        root, stop = Path(sys.argv[1]), Path(sys.argv[2])
        print("ready", flush=True)
        while not stop.exists():
            if not (root / "bundle.json").exists():
                sys.exit("no bundle")
    """)
    )
    stop = tmp_path / "stop"
    child = subprocess.Popen([sys.executable, str(reader), str(bundle.root), str(stop)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    for _ in range(10):
        with building(bundle.root) as work:
            tiny.write(work / "bundle")
            publish(work / "bundle", bundle.root)
    stop.write_text("")
    child.communicate(timeout=30)
    assert child.returncode == 0


def test_a_bundle_is_replaced_in_one_step(bundle: Bundle, tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two renames there would be no bundle, for too short a time to be seen by a reader in a test."""

    def refuse(*paths: object) -> None:
        pytest.fail(f"renamed {paths}, expected one exchange")

    monkeypatch.setattr(os, "rename", refuse)
    with building(bundle.root) as work:
        tiny.write(work / "bundle")
        publish(work / "bundle", bundle.root)
    assert Bundle.load(bundle.root).cases == bundle.cases


@pytest.mark.parametrize("kind", ["file", "link", "directory", "names of ours"])
def test_an_occupied_destination_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    destination = tmp_path / "taken"
    if kind == "file":
        destination.write_text("mine")
    elif kind == "link":
        (tmp_path / "target").mkdir()
        destination.symlink_to(tmp_path / "target")
    elif kind == "names of ours":
        (destination / "logs").mkdir(parents=True)
        (destination / "logs" / "mine.txt").write_text("mine")
    else:
        destination.mkdir()
        (destination / "thesis.tex").write_text("mine")

    def build() -> None:
        with building(destination):
            pytest.fail("must not start")

    before = siblings(destination)
    assert code_of(build) == "occupied"
    assert siblings(destination) == before
    assert kind != "directory" or (destination / "thesis.tex").read_text() == "mine"


def test_an_empty_directory_may_be_filled(tmp_path: Path, tiny: ModuleType) -> None:
    destination = tmp_path / "empty"
    destination.mkdir()
    with building(destination) as work:
        tiny.write(work / "bundle")
        publish(work / "bundle", destination)
    Bundle.load(destination)


def test_a_parent_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    def build() -> None:
        with building(tmp_path / "file" / "m"):
            pass

    assert code_of(build) == "cannot-write"


DISK_FULL = """
import resource, sys
from pathlib import Path
from exporter.bundle import building, publish, write_bytes
from exporter.errors import BundleError
destination, how = Path(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # a file that grows beyond it fails with EFBIG
try:
    if how == "building":
        with building(destination) as work:
            (work / "bundle").mkdir()
            (work / "bundle" / "big").write_bytes(bytes(200_000))
            publish(work / "bundle", destination)
    else:
        write_bytes(destination / "report.json", bytes(200_000))
except BundleError as error:
    print(error.code, "|", error.message, "|", error.hint)
"""


@pytest.mark.parametrize("how", ["building", "write_bytes"])
def test_a_full_disk_is_named_and_leaves_the_old_bundle(bundle: Bundle, how: str) -> None:
    (bundle.root / "report.json").write_text("the old report")
    before = tree(bundle.root)
    argv = [sys.executable, "-c", DISK_FULL, str(bundle.root), how]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("disk-full | cannot write "), done.stderr
    assert "an existing bundle was left as it was" in done.stdout
    assert tree(bundle.root) == before
    assert siblings(bundle.root) == ["bundle"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EFBIG, "disk-full"),
        (errno.EACCES, "cannot-write"),
        (errno.EROFS, "cannot-write"),
    ],
)
def test_disk_errors_have_two_codes(number: int, code: str) -> None:
    error = disk_error(OSError(number, os.strerror(number)), Path("/d"))
    assert error.code == code
    assert os.strerror(number).lower() in error.message.lower()
    assert "-o" in error.hint


def test_an_atomic_write_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert siblings(path) == ["f"]
    shutil.rmtree(tmp_path)
    assert code_of(lambda: write_bytes(path, b"x")) == "cannot-write"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_with_a_non_finite_number_is_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "f", {"x": value})
    assert not (tmp_path / "f").exists()


def test_the_current_directory_is_no_destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    for destination in (Path("."), Path(".."), tmp_path):
        with pytest.raises(BundleError, match="current directory") as caught:
            check_destination(destination)
        assert caught.value.code == "occupied"
    check_destination(Path("below"))


def test_files_of_the_user_beside_a_bundle_are_not_deleted(tmp_path: Path) -> None:
    destination = tmp_path / "bundle"
    destination.mkdir()
    (destination / "bundle.json").write_text("{}")
    check_destination(destination)
    (destination / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"notes\.txt"):
        check_destination(destination)
    (tmp_path / "link").symlink_to(destination)
    with pytest.raises(BundleError, match="symbolic link"):
        check_destination(tmp_path / "link")
