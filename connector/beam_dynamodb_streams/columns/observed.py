"""What the values of an attribute were in many items: the counts from which `infer` chooses a type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa

from beam_dynamodb_streams.columns.types import names_that_clash

Numbers: TypeAlias = Literal["text", "narrow"]
MEMBERS: Final = 50
"""A map with more names than this, over all items, becomes a map of any names and not a struct."""

_INT64: Final = range(-(2**63), 2**63)
_LISTS: Final = ("L", "SS", "NS", "BS")


@dataclass(frozen=True, slots=True)
class ColumnTypes:
    """How a type is chosen: what numbers become, and whether the schema renames members that differ only in case."""

    numbers: Numbers
    renames: bool = False


@dataclass(frozen=True, slots=True)
class CaseConflict:
    """Names that differ only in case, of attributes or of members of one map. Spark and DuckDB take them for one name.

    Attributes:
        counts: The count of values by path.
        handling: What the schema does about it, in words.
    """

    counts: Mapping[str, int]
    handling: str


@dataclass(slots=True)
class Observed:
    """The values that one path had in many items.

    Attributes:
        tags: The count of values by type tag.
        elements: The elements of lists and sets together.
        members: The members of maps.
        int64: Whether all numbers are whole and within 64 bits.
        digits_before: The most digits of a number before the point.
        digits_after: The most digits of a number after the point.
    """

    tags: Counter[str] = field(default_factory=Counter)
    elements: Observed | None = None
    members: dict[str, Observed] = field(default_factory=dict)
    int64: bool = True
    digits_before: int = 0
    digits_after: int = 0

    def add(self, tagged: Any) -> None:
        """Count one parsed attribute value, such as `{"N": "12.50"}`. Anything else is ignored."""
        if not isinstance(tagged, dict) or len(tagged) != 1:
            return
        ((tag, content),) = tagged.items()
        self.tags[tag] += 1
        if tag == "N":
            self._add_number(content)
        elif tag == "M" and isinstance(content, dict):
            for name, member in content.items():
                self.members.setdefault(name, Observed()).add(member)
        elif tag in _LISTS and isinstance(content, list):
            self.elements = self.elements or Observed()
            for element in content:
                self.elements.add(element if tag == "L" else {tag[0]: element})

    def type_tags(self) -> list[str]:
        """Return the tags that occurred except NULL, the most frequent first."""
        return [tag for tag, _ in self.tags.most_common() if tag != "NULL"]

    def column_type(self, choose: ColumnTypes) -> pa.DataType:
        """Return the type that takes most of the values; string if all were NULL."""
        counts = {
            "text": self.tags["S"] + self.tags["N"] if self.tags["S"] else 0,
            "number": 0 if self.tags["S"] else self.tags["N"],
            "M": self.tags["M"],
            "list": sum(self.tags[tag] for tag in _LISTS),
            "BOOL": self.tags["BOOL"],
            "B": self.tags["B"],
        }
        match max(counts, key=lambda kind: counts[kind]):
            case "number":
                return self._number_type(choose.numbers)
            case "BOOL":
                return pa.bool_()
            case "B":
                return pa.binary()
            case "list":
                return pa.list_((self.elements or Observed()).column_type(choose))
            case "M":
                return self._map_type(choose)
        return pa.string()

    def paths(self, path: str) -> Iterator[tuple[str, Observed]]:
        """Yield this path and all inside it: `tags[]` are the elements of `tags`, `meta.*` the members of a map."""
        yield path, self
        if self.elements is not None:
            yield from self.elements.paths(f"{path}[]")
        if len(self.members) > MEMBERS:
            yield from merged(self.members.values()).paths(f"{path}.*")
        else:
            for name in sorted(self.members):
                yield from self.members[name].paths(f"{path}.{name}")

    def case_conflicts(self, place: str, choose: ColumnTypes) -> Iterator[CaseConflict]:
        """Yield the members at every depth, of maps that are structs by their size, that differ only in case."""
        if self.elements is not None:
            yield from self.elements.case_conflicts(f"{place}[]", choose)
        if len(self.members) > MEMBERS:
            yield from merged(self.members.values()).case_conflicts(f"{place}.*", choose)
            return
        for group in names_that_clash(self.members):
            counts = {f"{place}.{name}": self.members[name].tags.total() for name in group}
            renamed = f"{', '.join(group[1:])} renamed in files, unless {place} is json"
            yield CaseConflict(counts, renamed if choose.renames else f"{place} is a map of any names, or json")
        for name in sorted(self.members):
            yield from self.members[name].case_conflicts(f"{place}.{name}", choose)

    def _map_type(self, choose: ColumnTypes) -> pa.DataType:
        clash = not choose.renames and names_that_clash(self.members)
        if not 0 < len(self.members) <= MEMBERS or clash:
            return pa.map_(pa.string(), merged(self.members.values()).column_type(choose))
        return pa.struct([(name, self.members[name].column_type(choose)) for name in sorted(self.members)])

    def _number_type(self, numbers: Numbers) -> pa.DataType:
        if numbers == "text":
            return pa.string()
        if self.int64:
            return pa.int64()
        # 38 digits take no more space than fewer, and leave room for larger numbers than those of the sample.
        return pa.decimal128(38, self.digits_after) if self.digits_before + self.digits_after <= 38 else pa.string()

    def _add_number(self, text: object) -> None:
        try:
            number = Decimal(str(text))
        except InvalidOperation:
            return
        if not number or not number.is_finite():
            return
        digits, exponent = number.as_tuple()[1:]
        zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
        after = max(0, -(int(exponent) + zeros))
        self.digits_after = max(self.digits_after, after)
        self.digits_before = max(self.digits_before, number.adjusted() + 1)
        self.int64 &= after == 0 and number.adjusted() < 19 and int(number) in _INT64


def merged(several: Iterable[Observed]) -> Observed:
    """Return the values of several paths as if they were one."""
    one = Observed()
    for other in several:
        one.tags.update(other.tags)
        if other.elements is not None:
            one.elements = merged([one.elements or Observed(), other.elements])
        for name, member in other.members.items():
            one.members[name] = merged([one.members.get(name, Observed()), member])
        one.int64 &= other.int64
        one.digits_before = max(one.digits_before, other.digits_before)
        one.digits_after = max(one.digits_after, other.digits_after)
    return one
