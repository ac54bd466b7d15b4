"""Preprocessing in layers: resizing as products with matrices, cropping, encoding of categories, and einsum."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from exporter.formats._tfjs_parts import Part, Rewrite, Shape, Step, Unfit, permute, reshape
from exporter.tensors import Array


def _resize(part: Part) -> Sequence[Step] | None:
    if part.config.get("crop_to_aspect_ratio") or part.config.get("pad_to_aspect_ratio"):
        raise Unfit("TF.js' Resizing fails at run time, and the aspect ratio cannot be kept without it")
    return _by_matrices(part, part.config["interpolation"], antialias=bool(part.config.get("antialias")))


def _interpolate(part: Part) -> Sequence[Step] | None:
    method = part.config.get("interpolation", "nearest")
    return None if method == "nearest" else _by_matrices(part, method, antialias=False)


def _by_matrices(part: Part, method: str, *, antialias: bool) -> Sequence[Step]:
    """Interpolation is linear and separable: one Dense along the height, one along the width."""
    batch, height, width, channels = part.inputs[0]
    _, new_height, new_width, _ = part.output
    if height is None or width is None or new_height is None or new_width is None:
        raise Unfit("TF.js interpolates at other points than Keras, and the exact matrices need static sizes")
    along_width = (batch, channels, height, width)
    steps = [permute(part.inputs[0], (3, 1, 2)), _matrix(along_width, width, new_width, method, antialias=antialias)]
    turned: Shape = (batch, channels, height, new_width)
    steps.append(permute(turned, (1, 3, 2)))
    steps.append(_matrix((batch, channels, new_width, height), height, new_height, method, antialias=antialias))
    return [*steps, permute((batch, channels, new_width, new_height), (3, 2, 1))]


def _matrix(shape: Shape, old: int, new: int, method: str, *, antialias: bool) -> Step:
    import keras

    # every row of the identity is an image one wide: what becomes of it is a row of the matrix
    images = np.eye(old, dtype=np.float32)[:, :, np.newaxis, np.newaxis]
    resized = keras.ops.image.resize(
        images, (new, 1), interpolation=method, antialias=antialias, data_format="channels_last"
    )
    kernel = keras.ops.convert_to_numpy(resized)[:, :, 0, 0]
    config = {"units": new, "use_bias": False, "activation": "linear", "trainable": False}
    return Step("Dense", config, (*shape[:-1], new), {"kernel": kernel})


def _center_crop(part: Part) -> Sequence[Step] | None:
    _, height, width, _ = part.inputs[0] if part.rank == 4 else (None,) * 4
    if height is None or width is None:
        raise Unfit("TF.js' CenterCrop fails at run time, and a Cropping2D needs static sizes")
    extra = (height - part.config["height"], width - part.config["width"])
    if min(extra) < 0:
        raise Unfit("it enlarges its input, which no layer of TF.js does alike")
    return [Step("Cropping2D", {"cropping": [[e // 2, e - e // 2] for e in extra]}, part.output)]


def _encode(part: Part) -> Sequence[Step] | None:
    """An Embedding of unit vectors, and for several categories at once the maximum over them."""
    mode, tokens = part.config["output_mode"], part.config["num_tokens"]
    if "int" not in part.dtypes[0] or mode == "count" or part.rank != 2 or part.config.get("sparse"):
        raise Unfit("TF.js' CategoryEncoding fails at run time, and only whole numbers of (batch, n), dense and not "
                    "counted, can do without")  # fmt: skip
    vectors = (*part.inputs[0], tokens)
    config = {"input_dim": tokens, "output_dim": tokens, "mask_zero": False, "trainable": False}
    embedding = Step("Embedding", config, vectors, {"embeddings": np.eye(tokens, dtype=np.float32)})
    if mode == "one_hot":
        return [embedding] if part.output == vectors else [embedding, reshape(part.output)]
    return [embedding, Step("GlobalMaxPooling1D", {"keepdims": False}, part.output)]


def _einsum(part: Part) -> Sequence[Step] | None:
    """An equation that contracts the last axes and appends new ones is a Dense between two Reshapes."""
    found = re.fullmatch(r"(\.{3})?(\w+),(\w+)->(\.{3})?(\w+)", part.config["equation"].replace(" ", ""))
    if not found or bool(found[1]) != bool(found[4]):
        raise Unfit("its equation is not understood")
    labels, weights, output = found[2], found[3], found[5]
    contracted = [c for c in labels if c in weights]
    kept = [c for c in labels if c not in weights]
    new = [c for c in output if c not in labels]
    if [*kept, *contracted] != list(labels) or [*kept, *new] != list(output) or not contracted or not new:
        raise Unfit("its equation does not contract the last axes of its input and append new ones, as Dense does")
    sizes = dict(zip(weights, part.variables["kernel"].shape, strict=True))
    order = [weights.index(c) for c in (*contracted, *new)]
    units = int(np.prod([sizes[c] for c in new]))
    kernel = part.variables["kernel"].transpose(order).reshape(-1, units)
    front = part.inputs[0][: part.rank - len(contracted)]
    variables: dict[str, Array] = {"kernel": kernel}
    bias = part.variables.get("bias")
    if bias is not None:
        shape = tuple(sizes[c] for c in new)
        if bias.ndim > len(shape):
            raise Unfit("its bias differs along axes that are not new")
        variables["bias"] = np.broadcast_to(bias, shape).reshape(-1)
    kept_config = {k: v for k, v in part.config.items() if k == "activation" or k.endswith("regularizer")}
    config = {**kept_config, "units": units, "use_bias": bias is not None}
    dense = Step("Dense", config, (*front, units), variables)
    before = [reshape((*front, len(kernel)))] if len(contracted) > 1 else []
    return [*before, dense, *([reshape(part.output)] if len(new) > 1 else [])]


REWRITES = (
    Rewrite(("Resizing",), _resize, "interpolation became two products with constant matrices (frozen)"),
    Rewrite(("UpSampling2D",), _interpolate, "interpolation became two products with constant matrices (frozen)"),
    Rewrite(("CenterCrop",), _center_crop, "for inputs of this size it is a Cropping2D"),
    Rewrite(("CategoryEncoding",), _encode, "categories became rows of an identity matrix (frozen)"),
    Rewrite(("EinsumDense",), _einsum, "for this equation it is a Dense"),
)
