"""Stored weights lie within half a step of the source's; what does not is named."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.parity.weights import as_tensors, check_weights

RNG = np.random.default_rng(2)
SOURCE = {"0/kernel": RNG.normal(size=(4, 6)).astype(np.float32), "0/bias": RNG.normal(size=6).astype(np.float32)}


def quantized() -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """The kernel in int8 with a scale per row, the bias as it is."""
    scale = np.abs(SOURCE["0/kernel"]).max(axis=1, keepdims=True) / 127
    steps = np.broadcast_to(scale, SOURCE["0/kernel"].shape)
    kernel = np.round(SOURCE["0/kernel"] / scale) * scale
    return {"0/kernel": (kernel, steps), "0/bias": (SOURCE["0/bias"].copy(), None)}


def test_rounded_weights_pass() -> None:
    found = check_weights(SOURCE, as_tensors(quantized()))
    assert found.problem == ""
    assert found.checked == 2
    assert 0 < found.worst <= 0.5
    assert found.where == "0/kernel"


@pytest.mark.parametrize("damaged", range(3))
def test_every_copy_of_a_weight_is_compared(damaged: int) -> None:
    """A tensor that a file holds several times is wrong if one of them is, whichever it is."""
    values, steps = quantized()["0/kernel"]
    names = ["0/kernel", "0/kernel~_duplicated_0", "0/kernel~float"]
    stored = {name: (values.copy(), steps) for name in names}
    assert check_weights(SOURCE, as_tensors(stored | {"0/bias": (SOURCE["0/bias"], None)})).checked == 4
    assert steps is not None
    stored[names[damaged]][0][1, 2] += 2 * steps[1, 2]
    found = check_weights(SOURCE, as_tensors(stored | {"0/bias": (SOURCE["0/bias"], None)}))
    assert f"{names[damaged]}[8] is" in found.problem


def test_tensors_of_one_name_are_compared_each_with_its_own() -> None:
    """The source has both, with values of their own, and so has the file."""
    source = {"0/w": SOURCE["0/kernel"], "0/w~_duplicated_0": SOURCE["0/kernel"] * 2}
    stored = {name: (values.copy(), None) for name, values in source.items()}
    found = check_weights(source, as_tensors(stored))
    assert (found.checked, found.problem) == (2, "")
    for name in source:
        damaged = {**stored, name: (stored[name][0] + 1, None)}
        assert check_weights(source, as_tensors(damaged)).problem.startswith(f"stored weight {name}[")


@pytest.mark.parametrize("change", ["one step", "a scale", "a float", "gone", "a size"])
def test_damage_is_named(change: str) -> None:
    stored = quantized()
    values, steps = stored["0/kernel"]
    assert steps is not None
    if change == "one step":
        values[2, 3] += steps[2, 3]
    elif change == "a scale":
        stored["0/kernel"] = (np.concatenate([values[:3], values[3:] * 2]), steps)
    elif change == "a float":
        stored["0/bias"][0][1] = np.nextafter(stored["0/bias"][0][1], np.float32(np.inf))
    elif change == "gone":
        del stored["0/kernel"]
    else:
        stored["0/kernel"] = (values[:3], steps[:3])
    found = check_weights(SOURCE, as_tensors(stored))
    assert ("0/bias" if change == "a float" else "0/kernel") in found.problem
