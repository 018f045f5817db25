"""Pairs of a pattern and an event, made from few names and values so that many of them match."""

from __future__ import annotations

import json
from random import Random
from typing import Any

NAMES = ("a", "b", "c", "a.b")
TEXTS = (
    *("", "x", "xy", "xyz", "XY", "Xyz", "y", "a*b", "a\\b", "*", "straße", "STRASSE", "Ärger", "ärger", "0", "300"),
    *("10.0.0.1", "010.0.0.1", "10.0.0.255", "10.1.0.1", "192.168.1.1", "256.0.0.1", "1.2.3", "2001:db8::1", "::1"),
    *("2001:0DB8:0:0::0001", "true", "null", '"', "line\nend"),
)
#: As JSON writes them.
NUMBERS = (
    *("0", "-0", "-0.0", "1", "1.0", "1e0", "3", "300", "300.0", "3.0e2", "-5", "-5.5", "0.1", "1e-1", "1E+2", "100"),
    *("12345678901234567890", "12345678901234567000", "0.1234567890123456789", "1e400", "1.7976931348623157e308"),
)
LITERALS = ("true", "false", "null")
NETWORKS = (
    *("10.0.0.0/24", "10.0.0.0/8", "10.0.0.1/31", "0.0.0.0/0", "2001:db8::/32", "::/0", "10.0.0.0/32", "10.0.0.0"),
    *("10.0.0.0/x", "10.0.0.0/-1", "2001:db8::/128", "10.0.0.0/+8", "10.0.0.0/8/", "10.0.0.0/24/8", "300.0.0.0/8", ""),
)
WILDCARDS = ("*", "x*", "*y", "x*z", "a\\*b", "a\\\\b", "*x*y*", "**", "x**y", "a\\b", "\\", "", "10.*", "*\n*")
BUT = ("equals-ignore-case", "prefix", "suffix", "wildcard")
ORDERS = ("=", "<", "<=", ">", ">=")


class Raw(str):
    """JSON text that stands as it is."""

    __slots__ = ()


def written(value: Any) -> str:
    """Return the JSON of a value, which is a Raw, a text, a list, or an object as a list of pairs in a tuple."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return "{" + ", ".join(f"{json.dumps(name)}: {written(member)}" for name, member in value) + "}"


class Maker:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def scalar(self) -> Any:
        kind = self.random.random()
        if kind < 0.5:
            return self.random.choice(TEXTS)
        return Raw(self.random.choice(NUMBERS if kind < 0.85 else LITERALS))

    def event(self, depth: int = 0) -> Any:
        names = self.random.sample(NAMES, self.random.randint(0 if depth else 1, len(NAMES)))
        return tuple((name, self.member(depth)) for name in names)

    def member(self, depth: int) -> Any:
        kind = self.random.random()
        if kind < 0.5 or depth > 2:
            return self.scalar()
        if kind < 0.75:
            return self.event(depth + 1)
        return [self.member(depth + 1) for _ in range(self.random.randint(0, 3))]

    def pattern(self, depth: int = 0, *, inside_or: bool = False) -> Any:
        members = []
        for _ in range(self.random.randint(1, 2) if self.random.random() < 0.97 else 0):
            kind = self.random.random()
            name = self.random.choice(NAMES)
            if kind < 0.12 and depth < 2:
                number = self.random.choice((1, 2, 2, 2, 3))
                members.append(("$or", [self.pattern(depth + 1, inside_or=True) for _ in range(number)]))
            elif kind < 0.4 and depth < 2:
                members.append((name, self.pattern(depth + 1, inside_or=inside_or)))
            elif kind < 0.41:
                members.append((name, self.scalar()))
            elif kind < 0.42:
                members.append((self.random.choice(("prefix", "regex", "=")), [self.scalar()]))
            else:
                members.append((name, [self.element() for _ in range(self.random.choice((1, 1, 1, 2, 3)))]))
        return tuple(members)

    def element(self) -> Any:
        kind = self.random.random()
        if kind < 0.3:
            return self.scalar()
        if kind < 0.98:
            return self.operator(self.random.choice(OPERATORS))
        return self.random.choice(([], [[self.scalar()]], (), (("prefix", "x"), ("suffix", "y"))))

    def operator(self, name: str) -> Any:
        return ((name, self.operand(name)),)

    def operand(self, name: str) -> Any:
        wrong = self.random.random() < 0.03
        if wrong:
            return self.random.choice((self.scalar(), [], (), [self.scalar()], (("exists", Raw("true")),)))
        match name:
            case "exists":
                return Raw(self.random.choice(("true", "false")))
            case "cidr":
                return self.random.choice(NETWORKS)
            case "wildcard":
                return self.random.choice(WILDCARDS)
            case "numeric":
                return self.range()
            case "anything-but":
                return self.anything_but()
            case "prefix" | "suffix" if self.random.random() < 0.3:
                return (("equals-ignore-case", self.random.choice(TEXTS)),)
            case _:
                return self.random.choice(TEXTS)

    def range(self) -> list[Any]:
        number = lambda: Raw(self.random.choice(NUMBERS[:-1]))  # noqa: E731 - at a double's largest, event-ruler crashes
        if self.random.random() < 0.5:
            return [self.random.choice(ORDERS), number()]
        return [self.random.choice(ORDERS[3:]), number(), self.random.choice(ORDERS[1:3]), number()]

    def anything_but(self) -> Any:
        kind = self.random.random()
        if kind < 0.5:
            single = self.random.choice((self.random.choice(TEXTS), Raw(self.random.choice(NUMBERS))))
            return single if kind < 0.3 else [single, *([self.scalar()] if kind < 0.35 else [])]
        name = self.random.choice(BUT)
        texts = WILDCARDS if name == "wildcard" else TEXTS
        several = [self.random.choice(texts) for _ in range(self.random.randint(1, 2))]
        return ((name, several if kind < 0.7 else several[0]),)


OPERATORS = (
    *("exactly", "prefix", "suffix", "equals-ignore-case", "wildcard", "cidr", "numeric", "exists", "anything-but"),
    "regex",
)


def pairs(number: int, seed: int) -> list[tuple[str, str]]:
    """Return pairs of a pattern and an event, as JSON: half of them any, half with one operator on one value."""
    maker = Maker(seed)
    made = []
    for count in range(number):
        if count % 2:
            operator = OPERATORS[count // 2 % (len(OPERATORS) - 1)]
            made.append((written((("a", [maker.operator(operator)]),)), written((("a", maker.member(2)),))))
        else:
            made.append((written(maker.pattern()), written(maker.event())))
    return made
