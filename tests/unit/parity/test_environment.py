"""When a worker may be held to the bits of the reference: on the same CPU features and the same libraries only."""

from __future__ import annotations

import pytest

from exporter.model import Json
from exporter.parity.environment import cpu, same_environment

VERSIONS = {"tensorflow": "2.21.0", "keras": "3.15.1", "numpy": "2.4.6", "python": "3.11.7"}


def recorded(**changes: str) -> Json:
    return {"versions": {**VERSIONS, **changes}, "cpu": cpu()}


def test_the_same_machine_is_the_same() -> None:
    assert same_environment(recorded(), VERSIONS)
    assert same_environment(recorded(python="3.12.0"), VERSIONS)


@pytest.mark.parametrize("library", ["tensorflow", "keras", "numpy"])
def test_another_version_or_none_is_another_environment(library: str) -> None:
    assert not same_environment(recorded(**{library: "0"}), VERSIONS)
    assert not same_environment(recorded(), {n: v for n, v in VERSIONS.items() if n != library})
    without = {n: v for n, v in VERSIONS.items() if n != library}
    assert not same_environment({"versions": without, "cpu": cpu()}, without)


def test_another_cpu_is_another_environment() -> None:
    assert not same_environment({"versions": VERSIONS, "cpu": {**cpu(), "features": "0"}}, VERSIONS)
    assert not same_environment({"versions": VERSIONS}, VERSIONS)
    assert not same_environment({}, VERSIONS)


def test_a_switch_that_changes_kernels_is_part_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recorded()
    value = "0" if cpu()["switches"].get("TF_ENABLE_ONEDNN_OPTS") != "0" else "1"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", value)
    assert cpu()["switches"]["TF_ENABLE_ONEDNN_OPTS"] == value
    assert not same_environment(before, VERSIONS)
