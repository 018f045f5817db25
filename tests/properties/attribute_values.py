"""Strategies for what an item may hold: every type, every legal number, nested."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

# No lone surrogates: DynamoDB texts are UTF-8.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
binaries = st.binary(max_size=24)


@st.composite
def numbers(draw: st.DrawFn) -> Decimal:
    """Any number that DynamoDB holds: 38 significant digits, 1E-130 to 9.99E+125, either sign, and zero."""
    digits = draw(st.text("0123456789", min_size=1, max_size=38))
    sign = draw(st.sampled_from(["", "-"]))
    lead = len(digits.lstrip("0")) or 1
    exponent = draw(st.integers(-130, 125)) - (lead - 1)
    return Decimal(f"{sign}{digits}E{exponent}")


keys = st.fixed_dictionaries({"id": texts.filter(bool), "at": numbers()})
scalars = st.one_of(texts, numbers(), binaries, st.booleans(), st.none())
sets = st.one_of(
    st.sets(texts, min_size=1, max_size=4),
    st.sets(numbers(), min_size=1, max_size=4),
    st.sets(binaries, min_size=1, max_size=4),
)
values = st.recursive(
    st.one_of(scalars, sets),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
images = st.dictionaries(names, values, max_size=6)
