"""What a `.keras` or `.h5` file says of itself, read without Keras: who wrote it, and which classes it needs.

This is the one module here that does not import TensorFlow, so that the host can refuse a broken file in a moment.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from exporter.errors import SourceError


def walk(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        if "class_name" in node:
            yield node
        for key, value in node.items():
            if key != "compile_config":  # models are loaded without their loss and metrics
                yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def foreign_classes(config: Any) -> tuple[str, ...]:
    """Names in a Keras config that are not Keras' own: classes, and functions such as custom activations."""
    found = []
    for node in walk(config):
        module, registered = node.get("module"), node.get("registered_name")
        name = str(node["class_name"])
        if name == "function":
            found.append(str(node.get("config")).split(">")[-1])
        elif (module is None and registered) or (module and not module.startswith(("keras", "builtins"))):
            found.append(name)
    return tuple(dict.fromkeys(found))


def keras_config(path: Path) -> Mapping[str, Any]:
    """The configuration inside a `.keras` or `.h5` file, after checking that Keras 3 wrote it.

    Raises:
        SourceError: missing, truncated, weights only, or written by Keras 1 or 2.
    """
    import h5py

    if not path.is_file():
        raise SourceError("missing-file", f"there is no file {path}", "check the path")
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                version = json.loads(archive.read("metadata.json")).get("keras_version", "")
                config = json.loads(archive.read("config.json"))
        else:
            with h5py.File(path, "r") as file:
                version = _text(file.attrs.get("keras_version", ""))
                text = _text(file.attrs.get("model_config", ""))
            if not text:
                raise SourceError(
                    "weights-only",
                    f"{path} holds weights but no model",
                    "save the whole model with model.save('model.keras'), or convert module.py:callable",
                )
            config = json.loads(text)
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, ValueError, AttributeError) as error:
        raise SourceError(
            "unreadable-file",
            f"{path} ({path.stat().st_size} bytes) is not a complete {path.suffix} file: {_first_line(error)}",
            "save or copy it again",
        ) from error
    if str(version).startswith(("1.", "2.")) or not version:
        raise SourceError(
            "keras-2",
            f"{path} was written by Keras {version or '1'}; Keras 3 reads such files wrongly or not at all",
            "load it with tf_keras in an environment of its own and export it from there as a SavedModel "
            "(tf.saved_model.save), then convert that directory",
        )
    return config  # type: ignore[no-any-return]


def check_classes(path: Path, config: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raises `SourceError` when the file needs classes that are neither Keras' nor among the `known` ones."""
    short = {name.split(">")[-1] for name in known}
    missing = [name for name in foreign_classes(config) if name not in short]
    if missing:
        raise SourceError(
            "needs-code",
            f"{path} uses {', '.join(missing)}, which Keras does not have",
            "give the module that defines it with --custom module.py",
        )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
