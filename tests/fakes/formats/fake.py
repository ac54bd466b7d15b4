"""A format that nothing can be written in; its artifacts are made by hand in `tests/fakes/tiny.py`."""

from exporter.formats import Format, Refused


def _write(source: object, directory: object, options: object) -> object:
    raise Refused("the fake format is written by tests only")


FORMAT = Format("fake", "a fake", _write, order=900)  # type: ignore[arg-type]
