"""What a handler's answer means where partial failures are reported (`ReportBatchItemFailures`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

ITEM_FAILURES: Final = "batchItemFailures"
ITEM_IDENTIFIER: Final = "itemIdentifier"


def first_failed(sequence_numbers: Sequence[str], answer: Any) -> int | None:
    """Return the index of the first change that was not handled; None if all were.

    The lowest number that the answer names is the checkpoint: it and all changes after it are delivered again. None,
    `{}`, `[]`, and a dict without item failures report success. The whole batch failed (index 0) where an identifier is
    empty, None, under another name or not in the batch, and where the answer has another form.
    """
    if not answer:
        return None
    if not isinstance(answer, dict):
        return 0
    failures = answer.get(ITEM_FAILURES)
    if failures is None:
        return None
    if not isinstance(failures, list | tuple):
        return 0
    places = {number: place for place, number in reversed(list(enumerate(sequence_numbers)))}
    named: list[str] = []
    for failure in failures:
        number = failure.get(ITEM_IDENTIFIER) if isinstance(failure, dict) else None
        if not isinstance(number, str) or number not in places:
            return 0
        named.append(number)
    return places[min(named, key=int)] if named else None
