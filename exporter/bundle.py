"""The bundle: one directory that holds a source's artifacts, cases and references, and proves that they are intact.

`bundle.json` lists every file with its size and sha256; loading verifies all of them. A bundle is built in a hidden
sibling of its destination and moved into place in one step, so a previous good bundle survives any failure.
Layout: bundle.json, artifacts/<recipe>/…, cases/<signature>/<case>.safetensors, references/ likewise (and
the labels of an evaluation), report.json, report.html, logs/.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from exporter import tensors
from exporter.errors import BundleError
from exporter.model import Artifact, Case, Evaluation, FileFact, Json, Recipe, Signature
from exporter.tensors import Tensors

if TYPE_CHECKING:
    from exporter.parity.report import Report

VERSION = 1
_HASHED = ("artifacts", "cases", "references")
_RENAME_EXCHANGE = 2


# the float model with the artifact's own weights, and the reference kernels on the artifact
EXPECTED = ("own", "kernels")


def expected_path(recipe: Recipe, case: Case, kind: str) -> str:
    """Where a bundle keeps what a quantized artifact is to give, by one of the `EXPECTED` computations."""
    return f"references/{kind}/{recipe.directory}/{case.signature}/{case.name}.safetensors"


def labels_path(signature: str) -> str:
    """Where a bundle keeps the labels of its evaluation."""
    return f"references/labels/{signature}.safetensors"


def weights_path(artifact: Artifact, signature: str) -> str:
    """Where a bundle keeps the source's weights by the names they have in the file of an artifact's signature."""
    return f"references/weights/{artifact.recipe.directory}/{artifact.entries[signature].path}.safetensors"


@dataclass(frozen=True)
class Bundle:
    """A loaded, verified bundle. `source`, `reference` and `tool` are facts for the report.

    `made_up` says by signature and input which values its cases were made of, where it has no rows of its own.

    `report` is the verdict of the conversion that made it; None without verification and after loading.
    """

    root: Path
    source: Json
    reference: Json
    tool: Json
    signatures: tuple[Signature, ...]
    artifacts: tuple[Artifact, ...]
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
    made_up: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    report: Report | None = None

    def signature(self, name: str) -> Signature:
        return next(s for s in self.signatures if s.name == name)

    def artifact_path(self, artifact: Artifact, signature: str) -> Path:
        """What a runtime opens for one signature: a file, or the artifact's directory."""
        directory = self.root / "artifacts" / artifact.recipe.directory
        return inside(directory, artifact.entries[signature].path)

    def inputs(self, case: Case) -> Tensors:
        return tensors.load(inside(self.root, case.inputs))

    def expected(self, case: Case) -> Tensors:
        return tensors.load(inside(self.root, case.reference))

    def labels(self) -> Tensors:
        """The labels of the evaluation, by output name; empty without one."""
        return tensors.load(inside(self.root, self.evaluation.labels)) if self.evaluation else {}

    def expected_of(self, recipe: Recipe, case: Case, kind: str) -> Tensors | None:
        """What a quantized artifact is to give by one of the `EXPECTED` computations; None where there is none."""
        path = inside(self.root, expected_path(recipe, case, kind))
        return tensors.load(path) if path.exists() else None

    def to_json(self, files: tuple[FileFact, ...]) -> Json:
        return {
            "version": VERSION,
            "tool": self.tool,
            "source": self.source,
            "reference": self.reference,
            "signatures": [s.to_json() for s in self.signatures],
            "artifacts": [a.to_json() for a in self.artifacts],
            "cases": [c.to_json() for c in self.cases],
            "notes": list(self.notes),
            "made_up": {signature: dict(found) for signature, found in self.made_up.items()},
            "evaluation": self.evaluation.to_json() if self.evaluation else None,
            "files": [f.to_json() for f in files],
        }

    def save(self) -> None:
        """Hash every file and write `bundle.json`."""
        write_json(self.root / "bundle.json", self.to_json(tuple(hash_files(self.root))))

    @staticmethod
    def load(root: str | os.PathLike[str]) -> Bundle:
        """Read a bundle and verify every file.

        Raises:
            BundleError: not a bundle, a newer version, or a file that is missing, changed or not listed.
        """
        path = Path(root)
        index = path / "bundle.json"
        if not index.is_file():
            what = "has no bundle.json" if path.is_dir() else "is not a directory"
            raise BundleError("not-a-bundle", f"{path} {what}", "give the directory that exporter convert wrote")
        try:
            data = json.loads(index.read_text())
            if data["version"] != VERSION:
                raise BundleError(
                    "bundle-version",
                    f"{path} has bundle version {data['version']}, this tool reads {VERSION}",
                    "convert the source again",
                )
            bundle = Bundle(
                root=path,
                source=data["source"],
                reference=data["reference"],
                tool=data["tool"],
                signatures=tuple(Signature.from_json(s) for s in data["signatures"]),
                artifacts=tuple(Artifact.from_json(a) for a in data["artifacts"]),
                cases=tuple(Case.from_json(c) for c in data["cases"]),
                notes=tuple(data["notes"]),
                made_up=data.get("made_up", {}),
                evaluation=Evaluation.from_json(data["evaluation"]) if data.get("evaluation") else None,
            )
            listed = {f["path"]: FileFact(f["path"], f["bytes"], f["sha256"]) for f in data["files"]}
            _check_references(bundle)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BundleError(
                "broken-bundle", f"{index} is not a complete bundle index ({error!r})", "convert the source again"
            ) from error
        _verify(path, listed)
        for artifact in bundle.artifacts:
            for signature in artifact.entries:
                opened = bundle.artifact_path(artifact, signature)
                if not opened.exists():
                    relative = opened.relative_to(path).as_posix()
                    raise _missing(path, relative, f"{artifact.recipe.id} needs")
        for case in bundle.cases:
            for file in (case.inputs, case.reference):
                if file not in listed:
                    raise _missing(path, file, f"case {case.name!r} needs")
        if bundle.evaluation is not None and bundle.evaluation.labels not in listed:
            raise _missing(path, bundle.evaluation.labels, "its evaluation needs")
        return bundle


def _check_references(bundle: Bundle) -> None:
    """Raises ValueError unless every signature and case that is named exists."""
    known = {s.name for s in bundle.signatures}
    named = {c.signature for c in bundle.cases}.union(*(a.entries for a in bundle.artifacts))
    if named - known:
        raise ValueError(f"signatures {sorted(named - known)} are not among {sorted(known)}")
    judged = bundle.evaluation
    if judged is not None and (judged.signature, judged.case) not in {(c.signature, c.name) for c in bundle.cases}:
        raise ValueError(f"there is no case {judged.case!r} of signature {judged.signature!r}")


def _verify(root: Path, listed: Mapping[str, FileFact]) -> None:
    for relative, fact in listed.items():
        file = inside(root, relative)
        if not file.is_file():
            raise _missing(root, relative, "its bundle.json lists")
        if file.stat().st_size != fact.bytes or sha256(file) != fact.sha256:
            raise BundleError(
                "changed-file",
                f"{root / relative} was changed after conversion: its sha256 is not the one in bundle.json",
                "restore the file, or convert the source again",
            )
    for found in _files(root):
        if found not in listed:
            raise BundleError(
                "unlisted-file",
                f"{root / found} is not listed in bundle.json",
                "remove it, or convert the source again",
            )


def _missing(root: Path, relative: str, who: str) -> BundleError:
    return BundleError(
        "missing-file",
        f"{root} lacks {relative}, which {who}",
        "copy the whole bundle, or convert the source again",
    )


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, after checking that neither the path nor a link on it leaves `root`. Raises `BundleError`."""
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts or not (root / pure).resolve().is_relative_to(root.resolve()):
        raise BundleError("unsafe-path", f"{root} names the path {relative!r}, which leaves the bundle", "")
    return root / pure


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(root: Path) -> Iterator[str]:
    for top in _HASHED:
        for path in sorted((root / top).rglob("*")):
            if path.is_file() or path.is_symlink():
                yield path.relative_to(root).as_posix()


def hash_files(root: Path) -> Iterator[FileFact]:
    """Facts of every file that belongs to the bundle's proof."""
    for relative in _files(root):
        path = root / relative
        yield FileFact(relative, path.stat().st_size, sha256(path))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: a temporary sibling, fsync, rename. Raises `BundleError` when the disk refuses."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically. Non-finite numbers must already be strings."""
    write_bytes(path, (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())


def disk_error(error: OSError, path: Path) -> BundleError:
    """The message for an OSError while writing below `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return BundleError(
            "disk-full",
            f"cannot write {path}: {error.strerror.lower() if error.strerror else error}",
            "free space or choose another directory with -o; an existing bundle was left as it was",
        )
    return BundleError(
        "cannot-write", f"cannot write {path}: {error.strerror or error}", "choose another directory with -o"
    )


def check_destination(destination: Path) -> None:
    """Refuse a destination that holds something other than a bundle, or that we stand in. Raises `BundleError`."""
    if Path.cwd().is_relative_to(destination.resolve()):
        raise BundleError(
            "occupied",
            f"{destination} is the current directory or above it, and a bundle replaces its directory as a whole",
            "choose another directory with -o",
        )
    if destination.is_symlink():
        raise BundleError(
            "occupied",
            f"{destination} is a symbolic link, and a bundle replaces its directory",
            "give its target with -o",
        )
    if destination.exists() and not destination.is_dir():
        raise BundleError("occupied", f"{destination} exists and is not a directory", "choose another one with -o")
    if destination.is_dir() and any(destination.iterdir()) and not (destination / "bundle.json").is_file():
        raise BundleError(
            "occupied", f"{destination} is not empty and holds no bundle", "choose another directory with -o"
        )
    own = {*_HASHED, "bundle.json", "report.json", "report.html", "logs"}
    foreign = sorted(p.name for p in destination.iterdir() if p.name not in own) if destination.is_dir() else []
    if foreign:
        raise BundleError(
            "occupied",
            f"{destination} holds a bundle and also {', '.join(foreign[:3])}, which a new bundle would delete",
            "move it away, or choose another directory with -o",
        )


@contextlib.contextmanager
def building(destination: Path) -> Iterator[Path]:
    """A hidden sibling directory to build in; removed at the end, whatever happens. Raises `BundleError`."""
    check_destination(destination)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", suffix=".tmp", dir=destination.parent))
        work.chmod(0o755)
    except OSError as error:
        raise disk_error(error, destination) from error
    try:
        yield work
    except OSError as error:
        raise disk_error(error, destination) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def publish(built: Path, destination: Path) -> None:
    """Put a complete directory in the place of `destination`; the old one is gone only after the new one is there."""
    for path in built.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    if not destination.exists():
        os.rename(built, destination)
        return
    _exchange(built, destination)
    shutil.rmtree(built)


def _exchange(one: Path, other: Path) -> None:
    """Swap two directories atomically (renameat2 of Linux), or by two renames where the kernel cannot."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        done = library.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), _RENAME_EXCHANGE)
    except (OSError, AttributeError):
        done = -1
    if done != 0:
        aside = one.with_name(one.name + ".old")
        os.rename(other, aside)
        try:
            os.rename(one, other)
        except OSError:
            os.rename(aside, other)
            raise
        os.rename(aside, one)
