"""Globs over layers, and operations by the scopes of layers."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.errors import UsageError
from exporter.selection import chosen, fingerprint, glob_of, inside, owners, plain, present, sharing

LAYERS = ["conv", "conv_1", "block", "block/conv", "block/norm", "both", "both/forward_lstm"]
SCOPES = {
    "conv": ("model_1/conv_1",),
    "conv_1": ("model_1/conv_1_1",),
    "block": ("model_1/block_1", "model_1/block_3"),
    "block/conv": ("model_1/block_1/conv_1", "model_1/block_3/conv_1"),
}


@pytest.mark.parametrize(
    ("glob", "layers"),
    [
        ("conv", ["conv", "block/conv"]),
        ("/conv", ["conv"]),
        ("block/conv", ["block/conv"]),
        ("block/*", ["block/conv", "block/norm"]),
        ("/conv*", ["conv", "conv_1"]),
        ("conv_[0-9]", ["conv_1"]),
        ("*lstm", ["both/forward_lstm"]),
        ("*", LAYERS),
    ],
)
def test_a_glob_goes_over_the_last_part_and_over_all_of_it_where_it_has_a_slash(glob: str, layers: list[str]) -> None:
    assert list(chosen([glob], LAYERS)) == layers


def test_layers_keep_their_order_and_come_once() -> None:
    assert chosen(["both", "conv*", "/conv"], LAYERS) == ("conv", "conv_1", "block/conv", "both")


def test_a_glob_that_fits_nothing_is_an_error_with_the_names() -> None:
    with pytest.raises(UsageError) as caught:
        chosen(["conv", "blok/conv"], LAYERS)
    assert caught.value.message == "'blok/conv' fits the name of no layer, did you mean 'block/conv'?"
    assert caught.value.hint == f"the layers: {', '.join(LAYERS)}"
    with pytest.raises(UsageError, match=r"layer_39 and 60 more"):
        chosen(["x"], [f"layer_{i}" for i in range(100)])


def test_every_layer_has_a_glob_of_its_own() -> None:
    for layer in [*LAYERS, "odd[1]*"]:
        assert chosen([glob_of(layer, [*LAYERS, "odd[1]*"])], [*LAYERS, "odd[1]*"]) == (layer,)
    assert glob_of("conv", LAYERS) == "/conv"
    assert glob_of("block/norm", LAYERS) == "norm"


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("model_1/conv_1/convolution", {"conv"}),
        ("model_1/conv_1_1/convolution", {"conv_1"}),
        ("model_1/conv_1", {"conv"}),
        ("model_1/conv_12/convolution", set()),
        ("model_1/block_3/conv_1/Relu", {"block", "block/conv"}),
        ("model_1/other/Relu;model_1/conv_1/convolution1", {"conv"}),
        ("StatefulPartitionedCall/PartitionedCall_2/model_1/conv_1/Relu", {"conv"}),
        ("other/model_1/conv_1/Relu", set()),
        ("Identity_1", set()),
    ],
)
def test_an_operation_belongs_to_the_scopes_around_it(name: str, layers: set[str]) -> None:
    assert owners([name], SCOPES) == layers
    assert all(inside(name, SCOPES[layer]) for layer in layers)


def test_calls_around_a_name_are_taken_off() -> None:
    assert plain("StatefulPartitionedCall/StatefulPartitionedCall_1/a/b") == "a/b"
    assert plain("a/StatefulPartitionedCall/b") == "a/StatefulPartitionedCall/b"
    assert plain("StatefulPartitionedCall") == "StatefulPartitionedCall"


def test_layers_that_share_an_operation_are_told() -> None:
    kept = [{"both", "both/forward_lstm", "both/backward_lstm"}, {"conv", "norm"}]
    assert sharing(kept, ["both/forward_lstm", "conv"]) == {"both/backward_lstm", "norm"}
    assert sharing(kept, ["both", "conv", "norm"]) == set()
    assert present(kept, ["both", "flatten", "conv"]) == ["both", "conv"]


def test_a_fingerprint_is_of_the_values_whatever_their_order() -> None:
    values = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    gates = np.concatenate([values[:, 4:], values[:, :4]], axis=1).T
    assert fingerprint(values) == fingerprint(gates)
    assert fingerprint(values) != fingerprint(-values)
