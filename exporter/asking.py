"""What is found out about a source by running it on inputs of the host's choice: which rows it rejects."""

from __future__ import annotations

from collections.abc import Callable

from exporter.errors import SourceError
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
