"""What quantization cost, what it left alone, and who is to blame where something is red: a report by recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exporter.formats.registry import format_named
from exporter.model import Artifact, Json
from exporter.outcome import CellResult, Mismatched, OutputComparison, Passed
from exporter.parity.quality import quality_of
from exporter.parity.report import Report
from exporter.parity.weights import WeightCheck


@dataclass(frozen=True)
class Price:
    """One quantized recipe that was written.

    Attributes:
        share: size of the files over that of the float files they were made from.
        noise_db: least SQNR of any float output on the source's own data, over the runtimes that compute what the file
            says (over all where none does); None where nothing was run.
        gate_db: the SQNR that is asked for.
        top1: least share of rows with the same argmax; None for outputs that are no rows of scores.
        flip_margin: largest margin of the reference in a row whose argmax changed.
        kl: largest mean divergence of probabilities, nats.
        steps: largest distance of a runtime from the reference kernels, in steps of the output.
        weights: the check of stored weights.
        stored: what constants are stored as, in words.
        left: what stayed float, in words; empty if nothing did.
    """

    recipe: str
    maker: str
    bytes: int
    share: float
    noise_db: float | None
    gate_db: float
    top1: float | None
    flip_margin: float | None
    kl: float | None
    steps: float | None
    weights: WeightCheck | None
    stored: str
    left: str

    @property
    def remarks(self) -> str:
        """`left`, and what speaks against shipping the file although its gates hold."""
        larger = "larger than the float file" if self.share > 1 else ""
        lost = f"argmax changed in {1 - self.top1:.0%} of the rows" if self.top1 is not None and self.top1 < 0.5 else ""
        return "; ".join(words for words in (self.left, larger, lost) if words)


def prices(report: Report) -> list[Price]:
    """The quantized recipes in the bundle's order."""
    chosen = {cell.recipe for cell in report.planned}
    return [
        _price(artifact, report)
        for artifact in report.bundle.artifacts
        if artifact.status == "written" and artifact.quantization and artifact.recipe.id in chosen
    ]


def _price(artifact: Artifact, report: Report) -> Price:
    recipe, facts = artifact.recipe.id, artifact.quantization
    results = [r for r in report.results.values() if r.cell.recipe == recipe]
    wrong = {r.cell.runtime for r in results if _code(r) == "conversion"}
    results = [r for r in results if r.cell.runtime not in wrong] or results
    outputs = list(_outputs(results))
    cases = report.bundle.cases
    # a signature without any data is judged by what was made up
    real = {c.signature for c in cases if c.real}
    own = {(c.signature, c.name) for c in cases if c.real or c.signature not in real}
    on_data = list(_outputs(r for r in results if (r.cell.signature, r.cell.case) in own))
    quality = quality_of(recipe)
    return Price(
        recipe=recipe,
        maker=facts["maker"],
        bytes=artifact.bytes,
        share=artifact.bytes / facts["float_bytes"],
        noise_db=min((o.noise_db for o in on_data if o.noise_db is not None), default=None),
        gate_db=quality.sqnr_db if quality else 0.0,
        top1=min((o.top1 for o in on_data if o.top1 is not None), default=None),
        flip_margin=max((o.flip_margin for o in on_data if o.flip_margin is not None), default=None),
        kl=max((o.kl for o in on_data if o.kl is not None), default=None),
        steps=max((o.steps for o in outputs if o.steps is not None), default=None),
        weights=report.weights.get(recipe),
        stored=stored_words(facts["stored"]),
        left=left_words(facts),
    )


def _code(result: CellResult) -> str:
    return result.outcome.comparison.code if isinstance(result.outcome, Mismatched) else ""


def _outputs(results: Iterable[CellResult]) -> Iterable[OutputComparison]:
    for result in results:
        if isinstance(result.outcome, Passed | Mismatched):
            yield from result.outcome.comparison.outputs


def stored_words(stored: Mapping[str, Mapping[str, int]]) -> str:
    """`int8 5 tensors (36,000 numbers), float 3 (120)`."""
    order = sorted(stored.items(), key=lambda item: -item[1]["elements"])
    return ", ".join(
        f"{kind} {counts['tensors']} tensor{'s' if counts['tensors'] > 1 else ''} ({counts['elements']:,} numbers)"
        for kind, counts in order
    )


def left_words(facts: Json) -> str:
    """What stayed float although the recipe is about it: operations of a static file, and large weights."""
    parts = []
    if facts["float_operations"]:
        listed = ", ".join(f"{name} ×{n}" if n > 1 else name for name, n in facts["float_operations"].items())
        parts.append(f"operations in float: {listed}")
    if facts["float_weights"]:
        named = [f"{_short(name)} ({size:,})" for name, size in facts["float_weights"][:3]]
        more = len(facts["float_weights"]) - len(named)
        parts.append(f"float weights: {', '.join(named)}" + (f" and {more} more" if more else ""))
    return "; ".join(parts)


def _short(name: str) -> str:
    """The last two scopes of a tensor's name that say something."""
    noise = ("StatefulPartitionedCall", "ReadVariableOp", "resource")
    parts = [part for part in name.split(";")[0].split("/") if not part.startswith(noise)]
    return "/".join(parts[-2:]) or name


def blame(report: Report) -> list[str]:
    """One sentence for every quantized recipe with red cells: the file, its precision, or a runtime."""
    found = []
    for artifact in report.bundle.artifacts:
        own = [r for r in report.results.values() if r.cell.recipe == artifact.recipe.id]
        if artifact.status == "written" and artifact.quantization and own:
            words = _blame(artifact, own, report)
            if words:
                found.append(f"{artifact.recipe.id}: {words}")
    return found


def _blame(artifact: Artifact, own: Sequence[CellResult], report: Report) -> str:
    check = report.weights.get(artifact.recipe.id)
    maker = artifact.quantization["maker"]
    if check is not None and check.problem:
        return f"the file is wrong, not the runtimes: {check.problem} (made by {maker}){_suspicion(artifact, report)}"
    red: dict[str, set[str]] = {}
    green: set[str] = set()
    for result in own:
        if isinstance(result.outcome, Mismatched):
            red.setdefault(result.cell.runtime, set()).add(result.outcome.comparison.code)
        elif isinstance(result.outcome, Passed):
            green.add(result.cell.runtime)
    fine = sorted(green - set(red))
    if not red:
        return ""
    wrong = ", ".join(sorted(red))
    if fine:
        verb = "computes" if len(red) == 1 else "compute"
        return f"the file is fine in {', '.join(fine)}; {wrong} {verb} something else"
    codes = set().union(*red.values())
    if codes == {"quality"} and not _is_calibrated(artifact):
        return "all runtimes agree with the file: this is what the precision costs"
    if codes == {"quality"}:
        return (
            "all runtimes agree with the file: this is what the precision costs with this calibration"
            f"{_suspicion(artifact, report)}{_way_out(artifact, own)}"
        )
    return f"no runtime computes what the file should give: what {maker} wrote is wrong, or every runtime is"


def _is_calibrated(artifact: Artifact) -> bool:
    return format_named(artifact.recipe.format).calibrated


def _way_out(artifact: Artifact, own: Sequence[CellResult]) -> str:
    """What keeps numbers of different scales apart, where a part of an output is what is red."""
    kept = set(artifact.quantization.get("kept_float", ()))
    found: dict[str, None] = {}
    for result in own:
        if isinstance(result.outcome, Mismatched):
            joining = artifact.quantization.get("joining", {}).get(result.cell.signature, {})
            for output in result.outcome.comparison.outputs:
                if output.slice and output.needed > 1:
                    found.update(dict.fromkeys(joining.get(output.name, ())))
    layers = [layer for layer in found if layer not in kept]
    if not layers:
        return ""
    options = " ".join(f"--keep-float {layer}" for layer in found)
    return f"; numbers of different scales share one scale of integers in {', '.join(layers)}: try {options}"


def _suspicion(artifact: Artifact, report: Report) -> str:
    findings = [f["code"] for f in (report.bundle.source.get("calibration") or {}).get("findings", ())]
    return f"; the calibration is suspicious ({', '.join(findings)})" if findings and _is_calibrated(artifact) else ""
