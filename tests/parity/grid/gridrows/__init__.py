"""The table of tiny models: one row per layer, or operation, and option that changes what is computed.

Each module here lists the rows of one family. A row says what goes in and how the outputs are built from it; the
weights are made random by ../models.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keras import layers


@dataclass(frozen=True)
class Feed:
    """One input of a model: its shape without the batch (None is fed as 6), its dtype and the values it is fed.

    `values` is a name in ../models.py's table of values; integers are drawn below `below`. `batch` is a fixed batch.
    """

    shape: tuple[int | None, ...]
    dtype: str = "float32"
    values: str = "normal"
    below: int = 8
    batch: int | None = None


@dataclass(frozen=True)
class Row:
    """One model. `subject` is the layer (or operation) that it is about; `build` makes outputs of symbolic inputs."""

    id: str
    subject: str
    feeds: tuple[Feed, ...]
    build: Callable[..., Any]


@dataclass(frozen=True)
class At:
    """A variant of a layer with inputs of its own."""

    feeds: tuple[Feed, ...]
    arguments: Mapping[str, Any] | Callable[..., Any]


Variant = Mapping[str, Any] | Callable[..., Any] | At


def at(*feeds: Feed | tuple[int | None, ...], build: Callable[..., Any] | None = None, **arguments: Any) -> At:
    return At(as_feeds(feeds), build or arguments)


def as_feeds(given: Any) -> tuple[Feed, ...]:
    """A shape, a feed, or several of either."""
    if isinstance(given, Feed):
        return (given,)
    if all(d is None or isinstance(d, int) for d in given):
        return (Feed(given),)
    return tuple(feed if isinstance(feed, Feed) else Feed(feed) for feed in given)


def vary(subject: str, feeds: Any, base: Mapping[str, Any] | None = None, **variants: Variant) -> list[Row]:
    """Rows of one layer of keras.layers: `base` arguments, replaced by those of each variant.

    A variant may also be a function that builds the outputs from the inputs. Underscores in its name become dashes.
    """
    rows = []
    for name, variant in (variants or {"default": {}}).items():
        own, arguments = (variant.feeds, variant.arguments) if isinstance(variant, At) else (feeds, variant)
        build = arguments if callable(arguments) else _applied(subject, {**(base or {}), **arguments})
        rows.append(Row(f"{subject}-{name.replace('_', '-')}", subject, as_feeds(own), build))
    return rows


def _applied(subject: str, arguments: Mapping[str, Any]) -> Callable[..., Any]:
    def build(*inputs: Any) -> Any:
        return getattr(layers, subject)(**arguments)(inputs[0] if len(inputs) == 1 else list(inputs))

    return build


def operations(feeds: Any, **builders: Callable[..., Any]) -> list[Row]:
    """Rows of keras.ops: name -> a function of the inputs. `sum__axis` is the variant `axis` of the operation `sum`."""
    rows = []
    for name, build in builders.items():
        subject, _, variant = name.partition("__")
        row = f"ops.{subject}" + (f"-{variant.replace('_', '-')}" if variant else "")
        rows.append(Row(row, f"ops.{subject}", as_feeds(feeds), build))
    return rows
