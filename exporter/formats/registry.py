"""Discovery of formats: the listing of `exporter/formats/`, then of `formats/` in each EXPORTER_PLUGINS directory."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence

from exporter.discovery import discover
from exporter.errors import UsageError
from exporter.formats import Format
from exporter.model import Recipe, recipe_of_id
from exporter.text import did_you_mean


@functools.cache
def formats() -> Mapping[str, Format | str]:
    """Format name -> format, or the sentence why its module could not be imported."""
    found = discover("formats", Format)
    order = sorted(found, key=lambda n: f.order if isinstance(f := found[n], Format) else 10**6)
    return {name: found[name] for name in order}


def format_named(name: str) -> Format:
    """Raises `UsageError` with a suggestion for an unknown name, or the reason its module is broken."""
    found = formats().get(name)
    if isinstance(found, Format):
        return found
    if found is not None:
        raise UsageError("broken-format", f"the format {name!r} cannot be used: {found}", "")
    raise UsageError(
        "unknown-format",
        f"unknown format {name!r}{did_you_mean(name, formats())}",
        f"known formats: {', '.join(formats())} (exporter formats)",
    )


def parse_recipe(text: str) -> Recipe:
    """A recipe from the command line; options equal to the default are dropped, so equal recipes have equal ids.

    Raises:
        UsageError: unknown format or option, or a value the option cannot take.
    """
    try:
        recipe = recipe_of_id(text)
    except ValueError as error:
        raise UsageError("bad-recipe", str(error), "write format:key=value,key=value") from None
    found = format_named(recipe.format)
    kept = []
    for key, value in recipe.options:
        option = found.options.get(key)
        if option is None:
            known = ", ".join(found.options) or "none"
            raise UsageError(
                "unknown-option",
                f"recipe {text!r}: {recipe.format} has no option {key!r}{did_you_mean(key, found.options)}",
                f"its options: {known}",
            )
        try:
            option.check(value)
        except ValueError as error:
            raise UsageError("bad-option", f"recipe {text!r}, option {key}: {error}", option.help) from None
        if value != option.default:
            kept.append((key, value))
    if found.check is not None:
        try:
            found.check(dict(kept))
        except ValueError as error:
            raise UsageError("bad-option", f"recipe {text!r}: {error}", "exporter formats lists the options") from None
    return Recipe(recipe.format, tuple(kept))


def default_recipes(*, all_variants: bool = False) -> list[Recipe]:
    """Every format in its default variant, in writing order; the quantized ones only where all are asked for."""
    recipes = []
    for name, found in formats().items():
        if isinstance(found, Format) and (found.default or all_variants):
            recipes.append(Recipe(name))
            recipes += [parse_recipe(f"{name}:{options}") for options in found.variants if all_variants]
    return recipes


def family_of(recipe: Recipe) -> str:
    """The format of a recipe's files; the recipe's own where its format is not known here."""
    found = formats().get(recipe.format)
    return found.family if isinstance(found, Format) else recipe.format


def is_positional(recipe: Recipe) -> bool:
    """Whether the recipe's files have an order of inputs and outputs, for callers that feed without names."""
    found = formats().get(recipe.format)
    return not isinstance(found, Format) or found.positional


def is_quantized(recipe: Recipe) -> bool:
    """Whether the recipe's artifacts hold or compute with fewer bits than the source, and say what they should give."""
    found = formats().get(recipe.format)
    if not isinstance(found, Format) or found.expected is None:
        return False
    return not found.quantized_by or any(key == found.quantized_by for key, _ in recipe.options)


def quantized_formats() -> list[str]:
    """Names of the formats whose recipes are quantized, in writing order."""
    return [name for name in formats() if is_quantized(Recipe(name))]


def check_metadata(metadata: Mapping[str, object], recipes: Iterable[Recipe]) -> None:
    """Raises `UsageError` for metadata that no recipe carries, or that is not JSON or would change a file's meaning."""
    if not metadata:
        return
    carrying = {n: f for n, f in formats().items() if isinstance(f, Format) and f.reserved_metadata is not None}
    used = [carrying[recipe.format] for recipe in recipes if recipe.format in carrying]
    if not used:
        raise UsageError(
            "useless-metadata",
            "--metadata is given, and no recipe carries it",
            f"name one that does with --to: {', '.join(carrying)}",
        )
    for key, value in metadata.items():
        for found in used:
            if key in (found.reserved_metadata or ()):
                raise UsageError(
                    "reserved-metadata",
                    f"metadata of {found.name} cannot have the key {key!r}: it would be read in place of the signature",
                    "choose another key",
                )
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UsageError("bad-metadata", f"metadata {key!r} is not JSON: {error}", "give what JSON holds") from None


def quantized_recipes() -> list[Recipe]:
    """Those formats' recipes, and the quantized ones of float formats, in writing order."""
    return [recipe for recipe in default_recipes(all_variants=True) if is_quantized(recipe)]


def resolved_options(recipe: Recipe) -> dict[str, str]:
    """Every option of the recipe's format, defaults filled in."""
    found = format_named(recipe.format)
    return {k: recipe.option(k, o.default) for k, o in found.options.items()}


def choose_recipes(to: Sequence[str] | None) -> list[tuple[Recipe, bool]]:
    """(recipe, was it named explicitly), in writing order, each once."""
    named = [] if not to else [parse_recipe(t) for t in to if t != "all"]
    chosen: dict[Recipe, bool] = {}
    if not to or "all" in to:
        chosen.update(dict.fromkeys(default_recipes(all_variants=bool(to)), False))
    chosen.update(dict.fromkeys(named, True))
    order = list(formats())
    return sorted(chosen.items(), key=lambda item: (order.index(item[0].format), item[0].id))
