"""The opened source of one conversion: a worker process, restarted from staged files when a writer ends it.

A model object cannot be sent to a worker without code or pickle. It is staged to files by this process, which then
answers for it wherever the object itself is needed; all that may crash or hang is left to a worker that loads those
files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exporter.convert_options import ConvertOptions
from exporter.errors import BundleError, SourceError, WorkerFailure
from exporter.inputs import is_function
from exporter.model import Json, Signature
from exporter.protocol.client import NotSupported, Ok, RemoteError
from exporter.source_spec import SourceSpec
from exporter.source_worker import WorkerSession, remote_error, way_on

_DOING = {
    "hello": "starting the source worker",
    "open": "opening the source",
    "layers": "listing the layers",
    "reference": "computing the reference",
    "probe": "asking the source again",
    "weights": "reading the source's weights",
    "sensitivity": "measuring the layers",
    "expect": "computing what a quantized artifact should give",
}


class SourceSession:
    """What a conversion asks of its source.

    Attributes:
        staging: directory of the files that the source was staged to.
        facts: what opening it told.
        signatures: those that are converted.
        versions: library versions of the process that computes the reference.
        peak_bytes: largest resident memory of the workers; complete after `close`.
    """

    def __init__(self, spec: SourceSpec, work: Path, log: Path, options: ConvertOptions, model: Any = None) -> None:
        self._spec = spec
        self._log = log
        self._options = options
        self._model = model
        self._scratch = work / "scratch"
        self._timeout = options.timeout or 900.0
        self._worker: WorkerSession | None = None
        self._local: Any = None
        self.staging = work / "staging"
        self.facts: Json = {}
        self.signatures: tuple[Signature, ...] = ()
        self.versions: Json = {}
        self.peak_bytes = 0
        for path in (self.staging, self._scratch):
            path.mkdir(parents=True)

    def open(self) -> None:
        """Open the source and fill the attributes. Raises `ExporterError`."""
        if self._model is not None:
            self._open_object()
            return
        if self._spec.kind == "keras":
            _check_keras_file(self._spec.path, self._options)
        self._worker = self._new_worker()
        self.versions = self.ask("hello", protocol=1, runtime="source")["versions"]
        self._describe(self.ask("open", spec=self._spec_json(), staging=str(self.staging)))

    def _spec_json(self) -> Json:
        spec, options = self._spec, self._options
        return {
            "kind": spec.kind,
            "path": str(spec.path),
            "name": spec.name,
            "callable": spec.callable,
            "signature": options.signature,
            "shapes": {name: list(shape) for name, shape in options.shapes.items()},
            "custom": str(options.custom) if options.custom else None,
            "train": options.train,
            "inputs": options.inputs if options.inputs and is_function(options.inputs) else None,
            "calibration": _calibration_json(options),
            "evaluation": _evaluation_json(options),
        }

    def _open_object(self) -> None:
        from exporter.source.loaders import from_callable
        from exporter.source.opening import describe
        from exporter.source.shaping import fix_shapes
        from exporter.workers.source import SourceHandler, versions

        source = from_callable(self._model, self.staging)
        fix_shapes(source, self._options.shapes)
        source.stage()
        self._local = SourceHandler(source)
        self.versions = versions()
        facts = describe(source, {}, self.staging)
        self._describe(
            {
                "source": {"kind": "object", "digest": ""},
                "facts": facts,
                "signatures": [s.to_json() for s in source.signatures.values()],
            }
        )

    def _describe(self, value: Json) -> None:
        self.facts = {**value["facts"], "source": value["source"]}
        self.signatures = tuple(Signature.from_json(s) for s in value["signatures"])

    def ask(self, op: str, **fields: Any) -> Json:
        """One request to whoever holds the source as it was opened.

        Raises:
            ExporterError: it failed; that is the end of the conversion.
        """
        fields.update(self._independent())
        if self._local is not None:
            return self._local(op, fields)  # type: ignore[no-any-return]
        return self.ask_apart(op, **fields) if self.signatures else self._ask_worker(op, **fields)

    def ask_apart(self, op: str, **fields: Any) -> Json:
        """One request to a worker, started from the staged files where there is none. Raises as `ask`."""
        if self._worker is None:
            self._restart()
        return self._ask_worker(op, **{**fields, **self._independent()})

    def _independent(self) -> Json:
        names = [signature.name for signature in self.signatures if signature.independent]
        return {"independent": names} if names else {}

    def _ask_worker(self, op: str, **fields: Any) -> Json:
        assert self._worker is not None
        try:
            reply = self._worker.request(op, **fields)
        except WorkerFailure as failure:
            raise SourceError(
                failure.code, f"{_DOING.get(op, op)} failed: {failure.message}", way_on(failure)
            ) from failure
        if isinstance(reply, Ok):
            return reply.value
        if isinstance(reply, NotSupported):
            raise SourceError("unsupported", reply.reason)
        if reply.code == "disk-full":
            raise disk_full(_DOING.get(op, op), reply.message)
        raise remote_error(reply)

    def write(self, fields: Json, *, needs_model: bool) -> Ok | NotSupported | RemoteError:
        """Let a format write an artifact.

        Raises:
            WorkerFailure: the worker crashed or hung; the next request starts another.
        """
        fields = {**fields, **self._independent()}
        if self._local is not None and needs_model:
            from exporter.workers.serve import error_reply

            try:
                return Ok(self._local("write", fields))
            except Exception as error:
                reply = error_reply("write", error)
                if "unsupported" in reply:
                    return NotSupported(reply["unsupported"]["reason"])
                return RemoteError(**reply["error"])
        if self._worker is None:
            self._restart()
        assert self._worker is not None
        try:
            return self._worker.request("write", **fields)
        except WorkerFailure:
            self._worker = None
            raise

    def _restart(self) -> None:
        """A fresh worker that continues from the staged files, with the same weights."""
        module = self._spec.path if self._spec.kind in ("reference", "callable") else None
        spec = {
            "kind": "staged",
            "path": str(self.staging),
            "custom": str(self._options.custom) if self._options.custom else None,
            "module": str(module) if module else None,
            "shapes": {name: list(shape) for name, shape in self._options.shapes.items()},
        }
        self._worker = self._new_worker()
        self._ask_worker("open", spec=spec, staging=str(self.staging))

    def _new_worker(self) -> WorkerSession:
        options = self._options
        given = [options.inputs, options.calibration, options.evaluation]
        functions = [one for one in given if isinstance(one, str) and is_function(one)]
        runs_code = self._spec.kind in ("reference", "callable") or options.custom is not None or bool(functions)
        return WorkerSession(self._log, self._scratch, self._timeout, runs_code=runs_code)

    def drop_worker(self) -> None:
        """End a worker that is in no known state; the next request starts another."""
        self.kill()
        self._worker = None

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self.peak_bytes = max(self.peak_bytes, self._worker.peak_bytes)

    def kill(self) -> None:
        if self._worker is not None:
            self._worker.kill()


def worker_calibration(calibration: object) -> str | None:
    """Calibration rows that only the source worker can read: a function, or a directory of images."""
    given = calibration if isinstance(calibration, str) else ""
    return given if given and (is_function(given) or Path(given).is_dir()) else None


def disk_full(doing: str, message: str) -> BundleError:
    """The error of a worker that found no room."""
    return BundleError(
        "disk-full",
        f"no room left while {doing}: {message}",
        "free space or choose another directory with -o; an existing bundle was left as it was",
    )


def _calibration_json(options: ConvertOptions) -> Json | None:
    given = worker_calibration(options.calibration)
    if given is None:
        return None
    return {"from": given, "range": list(options.image_range), "seed": options.cases.seed}


def _evaluation_json(options: ConvertOptions) -> Json | None:
    """What only the source worker can read: a function, or a reference model's own test data."""
    given = options.evaluation
    own = bool(options.metric) and given is None
    return {"from": given} if own or (isinstance(given, str) and is_function(given)) else None


def _check_keras_file(path: Path, options: ConvertOptions) -> None:
    """Refuse a broken file before TensorFlow is started; classes of --custom are only known there."""
    from exporter.source.keras_file import check_file

    check_file(path, {} if options.custom is None else None)
