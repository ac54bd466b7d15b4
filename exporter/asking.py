"""What is found out about a source by running it on inputs of the host's choice.

Which rows it rejects, and whether leading dimensions that look like one batch are one.
"""

from __future__ import annotations

from collections.abc import Callable

from exporter.errors import SourceError, WorkerFailure
from exporter.tensors import Tensors

Run = Callable[[Tensors], Tensors]


def cause_of(error: SourceError, signature: str) -> str:
    """What the source itself said, without our words around it."""
    return error.message.partition(f"of signature {signature!r}: ")[2] or error.message


def rejected_rows(run: Run, rows: Tensors) -> list[int]:
    """The numbers of the rows that the source rejects alone.

    `run` raises `SourceError` of code "reference" for inputs that the source rejects.
    """
    found = []
    for number in range(len(next(iter(rows.values())))):
        try:
            run({name: array[number : number + 1] for name, array in rows.items()})
        except SourceError as error:
            if error.code != "reference":
                raise
            found.append(number)
    return found


def numbered(rows: list[int]) -> str:
    """`row 3 (counted from 0)`, `rows 3, 4, 9 …`; the first five of more."""
    shown = ", ".join(map(str, rows[:5])) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")
    return f"{'row' if len(rows) == 1 else 'rows'} {shown} (counted from 0)"


def takes_rows(run: Run, inputs: Tensors) -> Tensors | None:
    """The outputs for some inputs; None where the source rejects them, or dies of them.

    Raises:
        SourceError: anything else went wrong.
    """
    try:
        return run(inputs)
    except SourceError as error:
        if error.code != "reference" and not isinstance(error.__cause__, WorkerFailure):
            raise
        return None


def has_independent_rows(run: Run, alike: Tensors, longer: Tensors) -> bool:
    """Whether the leading dimensions of inputs are no one batch.

    Each input is given more rows than the others in turn: where the source takes that, and what it gives then is
    another size beyond the first dimension, each input has rows of its own (queries against candidates).

    Args:
        run: the source; raises `SourceError` of code "reference" for inputs that it rejects.
        alike: inputs of one number of rows.
        longer: the same inputs with more rows.
    """
    together = takes_rows(run, alike)
    if together is None:
        return False
    for name in alike:
        found = takes_rows(run, {**alike, name: longer[name]})
        if found is not None and any(found[n].shape[1:] != array.shape[1:] for n, array in together.items()):
            return True
    return False
