"""Calibration rows from a directory of pictures, as an image model's input takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exporter.errors import InputsError
from exporter.model import Signature, TensorSpec
from exporter.tensors import DTYPES, Array, Tensors

KINDS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
MOST = 1024  # pictures that are decoded; calibration takes 256 rows


def read_images(directory: Path, signature: Signature, low: float, high: float, seed: int) -> Tensors:
    """Pictures below a directory, resized to the input's height and width (bilinear, antialiased).

    Args:
        low: the number that black becomes.
        high: the number that white becomes. Preprocessing outside of the model has to be told by these two.
        seed: which pictures are taken where there are more than `MOST`.

    Returns:
        The input's name -> (pictures, height, width, channels) in its dtype.

    Raises:
        InputsError: the signature takes no picture, or there are none that can be read.
    """
    spec, shape = _picture(signature)
    files = sorted(p for p in directory.rglob("*") if p.suffix.lower() in KINDS)
    if not files:
        raise InputsError(
            "no-images", f"{directory} holds no picture", f"expected files that end in {', '.join(KINDS)}"
        )
    if len(files) > MOST:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(files))[:MOST])
        files = [files[i] for i in chosen]
    rows = np.stack([_decoded(file, *shape) for file in files]) / 255
    values = low + rows * (high - low)
    dtype = DTYPES[spec.dtype][1]
    return {spec.name: (np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype)}


def _picture(signature: Signature) -> tuple[TensorSpec, tuple[int, int, int]]:
    (spec,) = signature.inputs if len(signature.inputs) == 1 else (None,)
    shape = spec.shape if spec is not None else None
    if spec is None or shape is None or len(shape) != 4 or None in shape[1:] or shape[3] not in (1, 3, 4):
        raise InputsError(
            "no-image-input",
            f"pictures need one input [batch, height, width, 1, 3 or 4 channels], found "
            f"{', '.join(map(str, signature.inputs))} in {signature.name!r}",
            "give rows in a .npz file, or a function file.py:fn that prepares them",
        )
    height, width, channels = (int(d) for d in shape[1:] if d is not None)
    return spec, (height, width, channels)


def _decoded(file: Path, height: int, width: int, channels: int) -> Array:
    """(height, width, channels) float32 in 0..255."""
    import tensorflow as tf

    try:
        picture = tf.io.decode_image(file.read_bytes(), channels=channels, expand_animations=False)
    except (tf.errors.OpError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise InputsError("image-unreadable", f"{file} cannot be decoded: {why}", "leave it out") from error
    resized = tf.image.resize(picture, (height, width), antialias=True)
    return np.asarray(resized)
