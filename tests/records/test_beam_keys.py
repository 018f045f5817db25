"""Numbers as grouping keys, with a type hint and without one."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from decimal import Decimal, localcontext
from typing import Any

import apache_beam as beam
import pytest
from apache_beam import coders
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.typehints import typehints
from google.protobuf.timestamp_pb2 import Timestamp as ProtoTimestamp
from hypothesis import given
from hypothesis import strategies as st

import beam_dynamodb_streams
from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.records.beam_keys import AnyCoder, NumberCoder, NumberKeyCoder, canonical_text

assert beam_dynamodb_streams.__all__  # importing it registers the coders

NUMBERS = st.decimals(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | NUMBERS
KEYS = st.recursive(
    SCALARS | st.sets(NUMBERS) | st.frozensets(st.text()) | st.frozensets(NUMBERS),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def key_coder(hint: Any) -> coders.Coder:
    return coders.registry.get_coder(hint).as_deterministic_coder("a step")


@given(NUMBERS, st.integers(0, 60))
def test_equal_numbers_are_one_key_and_a_key_is_an_equal_number(number, zeros):
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    with localcontext() as context:
        context.prec = 3
        other = Decimal((sign, (*digits, *[0] * zeros), exponent - zeros)) if exponent > -6_000 else number
        assert NumberKeyCoder().encode(number) == NumberKeyCoder().encode(other)
        assert NumberKeyCoder().decode(NumberKeyCoder().encode(number)) == number


@given(NUMBERS, NUMBERS)
def test_different_numbers_are_different_keys(one, other):
    assert (canonical_text(one) == canonical_text(other)) == (one == other)


@pytest.mark.parametrize("text", ["7", "7.0", "7E0", "700E-2", "0.7E1"])
def test_each_way_to_write_seven_is_the_key_seven(text):
    for hint, wrap in (
        (Decimal, Decimal),
        (typehints.Any, Decimal),
        (typehints.Any, lambda text: (Decimal(text), "a")),
    ):
        coder = key_coder(hint)
        assert coder.encode(wrap(text)) == coder.encode(wrap("7"))
        assert str(coder.decode(coder.encode(wrap(text)))) == str(wrap("7"))


def test_zero_has_one_key():
    assert {canonical_text(Decimal(text)) for text in ("0", "-0", "0.00", "0E+9", "-0E-9")} == {"0"}


@given(NUMBERS)
def test_a_number_that_is_not_a_key_keeps_every_digit(number):
    coder = coders.registry.get_coder(Decimal)
    assert str(coder.decode(coder.encode(number))) == str(number)


@given(KEYS)
def test_any_key_without_a_hint_comes_back_equal(key):
    coder = key_coder(typehints.Any)
    assert coder.decode(coder.encode(key)) == key


def test_the_order_of_a_set_or_a_map_does_not_matter():
    coder = key_coder(typehints.Any)
    numbers = [Decimal(n) for n in range(20)]
    assert coder.encode(set(numbers)) == coder.encode({*numbers[::-1]})
    one = {"a": Decimal(1), "b": Decimal("2.0")}
    assert coder.encode(one) == coder.encode({"b": Decimal(2), "a": Decimal("1.00")})


@given(st.binary(max_size=40))
def test_bytes_that_are_not_a_number_are_refused(stored):
    for coder in (NumberCoder(), NumberKeyCoder()):
        with suppress(ConnectorError):
            assert isinstance(coder.decode(stored), Decimal)


def test_beams_own_coders_and_those_of_others_stay():
    registry = coders.registry
    assert type(registry.get_coder(int)) is coders.VarIntCoder
    assert isinstance(registry.get_coder(typehints.Any), AnyCoder)
    assert type(registry.get_coder(ProtoTimestamp)) is coders.ProtoCoder


@pytest.mark.parametrize("hint", [None, tuple[Decimal, int]], ids=["without a hint", "with a hint"])
@pytest.mark.parametrize("step", [beam.CombinePerKey(sum), beam.GroupByKey() | beam.MapTuple(lambda k, v: (k, sum(v)))])
def test_numbers_are_grouped_on_a_runner(hint, step):
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        keyed = beam.Map(lambda text: (Decimal(text), 1))
        keyed = keyed if hint is None else keyed.with_output_types(hint)
        grouped = pipeline | beam.Create(["7", "7.0", "8", "7.00"]) | keyed | step
        assert_that(grouped, equal_to([(Decimal(7), 3), (Decimal(8), 1)]))


HASHABLE = [b"\x00\xff", frozenset([Decimal(1), Decimal("2.5")]), frozenset("ab"), (Decimal(1), "a")]
UNHASHABLE = [{Decimal(1), Decimal("2.5")}, {"a", "b"}, {b"a", b"b"}, [Decimal(1)], {"n": Decimal(1)}]


@pytest.mark.parametrize("key", HASHABLE + UNHASHABLE, ids=repr)
def test_binary_keys_sets_and_pairs_are_grouped_on_a_runner(key):
    """Beam combines, before it groups, by the hash of a key."""
    step = (
        beam.CombinePerKey(sum)
        if isinstance(key, Hashable)
        else beam.GroupByKey() | beam.MapTuple(lambda k, v: (k, sum(v)))
    )
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        grouped = pipeline | beam.Create([0, 1]) | beam.Map(lambda _: (key, 1)) | step
        assert_that(grouped, equal_to([(key, 2)]))
