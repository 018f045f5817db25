"""`infer`: the schema for a sample of items. `Observed` counts the values of an attribute in all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec
import pyarrow as pa

from beam_dynamodb_streams.columns.scalar import convert_attribute, convert_image
from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.columns.types import json_field, names_that_clash
from beam_dynamodb_streams.errors import InvalidOptionError

Numbers: TypeAlias = Literal["text", "narrow"]
MEMBERS: Final = 50
"""A map with more names than this, over all items, becomes a map of any names and not a struct."""

_INT64: Final = range(-(2**63), 2**63)
_LISTS: Final = ("L", "SS", "NS", "BS")


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

    def column_type(self, numbers: Numbers) -> pa.DataType:
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
                return self._number_type(numbers)
            case "BOOL":
                return pa.bool_()
            case "B":
                return pa.binary()
            case "list":
                return pa.list_((self.elements or Observed()).column_type(numbers))
            case "M":
                return self._map_type(numbers)
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

    def case_conflicts(self, place: str) -> Iterator[CaseConflict]:
        """Yield the members at every depth, of maps that are structs by their size, that differ only in case."""
        if self.elements is not None:
            yield from self.elements.case_conflicts(f"{place}[]")
        if len(self.members) > MEMBERS:
            yield from merged(self.members.values()).case_conflicts(f"{place}.*")
            return
        for group in names_that_clash(self.members):
            counts = {f"{place}.{name}": self.members[name].tags.total() for name in group}
            yield CaseConflict(counts, f"{place} is a map of any names, or json")
        for name in sorted(self.members):
            yield from self.members[name].case_conflicts(f"{place}.{name}")

    def _map_type(self, numbers: Numbers) -> pa.DataType:
        if not 0 < len(self.members) <= MEMBERS or names_that_clash(self.members):
            return pa.map_(pa.string(), merged(self.members.values()).column_type(numbers))
        return pa.struct([(name, self.members[name].column_type(numbers)) for name in sorted(self.members)])

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


LEAST_FIT: Final = 0.95
"""If a smaller share of an attribute's values fits one type, it becomes a json column, which holds all of them."""

COLUMNS: Final = 500
"""At most this many attributes get columns: the most frequent ones."""

_parse = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_parse_attribute = msgspec.json.Decoder(dict[str, Any]).decode
_KEY_TYPES: Final = {"S": pa.string(), "B": pa.binary()}


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path at which values of several types occurred.

    Attributes:
        place: The attribute, or a path in it: `address.city`, `tags[]` for elements, `meta.*` for any member.
        counts: The count of values by type tag.
        column: The column of the attribute.
    """

    place: str
    counts: Mapping[str, int]
    column: pa.Field


@dataclass(frozen=True, slots=True)
class CaseConflict:
    """Names that differ only in case, of attributes or of members of one map. Spark and DuckDB take them for one name.

    Attributes:
        counts: The count of values by path.
        handling: What the schema does about it, in words.
    """

    counts: Mapping[str, int]
    handling: str


@dataclass(frozen=True, slots=True)
class Inferred:
    """The schema for a sample of items, and how well it fits them.

    Attributes:
        schema: The schema.
        items: The count of items.
        fitting: The count of items all of whose attributes have a column and fit it. An attribute that differs only in
            case from one with a column needs none.
        seen: For each attribute, the count of items that have it.
        conflicts: The paths at which values of several types occurred.
        case_conflicts: The names that differ only in case.
    """

    schema: Schema
    items: int
    fitting: int
    seen: Mapping[str, int]
    conflicts: tuple[Conflict, ...]
    case_conflicts: tuple[CaseConflict, ...] = ()


def infer(items: Sequence[bytes], key_types: Mapping[str, str], *, numbers: Numbers = "text") -> Inferred:
    """Return the schema for items in DynamoDB JSON, of a table with keys such as `{"order_id": "S"}`.

    - Numbers become text, which loses nothing. With `numbers="narrow"` they become int64 if all are whole and within
      64 bits, else decimal128 if 38 digits hold all, else text. They never become float64, which rounds: declare it.
    - A map becomes a struct of the members that occurred, or, with more than 50 names, a map of any names. Sets become
      lists.
    - Values of several types: S and N together become text. Otherwise the column has the type that takes most of the
      values if these are at least 95 %; else it is a json column. An attribute that was always NULL becomes text.
    - Names that differ only in case: the most frequent of such attributes, or the key, has a column, and the others go
      to the column `other`. A map with such members becomes a map of any names.

    The columns are the keys, then the other attributes by name, so that another sample of the same table results in the
    same schema where possible. An item that is not a JSON object counts as an item that does not fit.

    Raises:
        InvalidOptionError: `numbers` is not one of its two values.
    """
    if numbers not in get_args(Numbers):
        raise InvalidOptionError(f"numbers={numbers!r}: use 'text' or 'narrow'")
    observed: dict[str, Observed] = {name: Observed() for name in key_types}
    raws: dict[str, list[msgspec.Raw]] = {}
    for item in items:
        for name, raw in _members(item).items():
            raws.setdefault(name, []).append(raw)
            observed.setdefault(name, Observed()).add(_value(raw))
    others = sorted(observed.keys() - key_types.keys(), key=lambda name: (-len(raws[name]), name))
    case_conflicts = [conflict for name in sorted(observed) for conflict in observed[name].case_conflicts(name)]
    left_out: set[str] = set()
    for group in names_that_clash(observed):
        ranked = sorted(group, key=lambda name: (name not in key_types, -len(raws.get(name, ())), name))
        without = [name for name in ranked[1:] if name not in key_types]
        left_out.update(without)
        counts = {name: len(raws.get(name, ())) for name in group}
        case_conflicts.append(CaseConflict(counts, f"{', '.join(without) or 'none'} without a column"))
    others = [name for name in others if name not in left_out]
    columns = [_key(name, tag, observed[name], numbers) for name, tag in key_types.items()]
    columns += [_column(name, observed[name], raws[name], numbers) for name in sorted(others[: COLUMNS - len(columns)])]
    attributes = pa.schema(columns)
    other = "other_attributes"
    while other in {name.lower() for name in observed}:
        other += "_"
    schema = Schema(attributes, tuple(key_types), other=other)
    conflicts = [
        Conflict(place, dict(seen.tags), column)
        for column in columns
        for place, seen in observed[column.name].paths(column.name)
        if len(seen.type_tags()) > 1
    ]
    seen = {name: len(raws.get(name, ())) for name in observed}
    return Inferred(
        schema,
        len(items),
        sum(_fits(schema, item, left_out) for item in items),
        seen,
        tuple(conflicts),
        tuple(case_conflicts),
    )


def _key(name: str, tag: str, observed: Observed, numbers: Numbers) -> pa.Field:
    return pa.field(name, _KEY_TYPES.get(tag) or observed.column_type(numbers))


def _column(name: str, observed: Observed, raws: Sequence[msgspec.Raw], numbers: Numbers) -> pa.Field:
    column = pa.field(name, observed.column_type(numbers))
    fitting = sum(convert_attribute(column, raw)[1] is None for raw in raws)
    return column if fitting >= LEAST_FIT * len(raws) else json_field(name)


def _fits(schema: Schema, item: bytes, left_out: set[str]) -> bool:
    row, misfits = convert_image(schema, item)
    if row is None or misfits:
        return False
    others = row[schema.other or ""]
    return others is None or _members(str(others).encode()).keys() <= left_out


def _members(item: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _parse(item)
    except (msgspec.DecodeError, RecursionError):
        return {}


def _value(raw: msgspec.Raw) -> object:
    try:
        return _parse_attribute(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
