"""What a `.keras` or `.h5` file says of itself, read without Keras: who wrote it, and which classes it needs.

This module does not import TensorFlow, so that the host can refuse a broken file in a moment.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from exporter.errors import SourceError
from exporter.legacy_keras import need_tf_keras


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


def foreign_classes(config: Any, own: tuple[str, ...] = ("keras", "builtins")) -> tuple[str, ...]:
    """Names in a Keras config that are not Keras' own: classes, and functions such as custom activations.

    `own` are what the names of Keras' modules start with.
    """
    found = []
    for node in walk(config):
        module, registered = node.get("module"), node.get("registered_name")
        name = str(node["class_name"])
        if name == "function":
            found.append(str(node.get("config")).split(">")[-1])
        elif (module is None and registered) or (module and not module.startswith(own)):
            found.append(name)
    return tuple(dict.fromkeys(found))


def keras_config(path: Path) -> Mapping[str, Any]:
    """The configuration inside a `.keras` or `.h5` file of Keras 3.

    Raises:
        SourceError: as `read_file`, or written by Keras 2.
    """
    version, config = read_file(path)
    if version.startswith("2."):
        raise SourceError(
            "keras-2",
            f"{path} was written by Keras {version}; Keras 3 reads such files wrongly or not at all",
            f"exporter convert {path} makes all formats of it",
        )
    return config


def read_file(path: Path) -> tuple[str, Mapping[str, Any]]:
    """The version of Keras that wrote a `.keras` or `.h5` file, 2 or later, and the configuration in it.

    Raises:
        SourceError: missing, truncated, weights only, or written by Keras 1.
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
    if str(version).startswith("1.") or not version:
        raise SourceError(
            "keras-1",
            f"{path} was written by Keras {version or '1'}; neither Keras 3 nor tf_keras reads such files",
            "load it with Keras 2.2 to 2.4 and save it again",
        )
    return str(version), config


def check_file(path: Path, known: Mapping[str, Any] | None) -> bool:
    """Whether a file is of Keras 2, after checking that everything is there to open it.

    Args:
        known: classes of the user, by name; None where they are not known yet.

    Raises:
        SourceError: as `read_file`, or it needs classes that are not known, holds code, or needs tf_keras.
    """
    version, config = read_file(path)
    old = version.startswith("2.")
    if old:
        need_tf_keras(f"{path} was written by Keras {version}")
        refuse_code(path, config)
    if known is not None:
        check_classes(path, config, known, ("keras", "tf_keras", "builtins") if old else ("keras", "builtins"))
    return old


def refuse_code(path: Path, config: Any) -> None:
    """Raises `SourceError` for a Lambda layer: Keras 2 keeps its bytecode in the file, and runs it when loading."""
    for node in walk(config):
        if node["class_name"] == "Lambda":
            raise SourceError(
                "holds-code",
                f"{path} holds code in its Lambda layer {(node.get('config') or {}).get('name')!r}, and code is never "
                "run from a file",
                "build the model in a module and convert module.py:callable",
            )


def check_classes(
    path: Path, config: Mapping[str, Any], known: Mapping[str, Any], own: tuple[str, ...] = ("keras", "builtins")
) -> None:
    """Raises `SourceError` when the file needs classes that are neither Keras' nor among the `known` ones."""
    short = {name.split(">")[-1] for name in known}
    missing = [name for name in foreign_classes(config, own) if name not in short]
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
