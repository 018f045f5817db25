"""A schema that was inferred from items holds them."""

from __future__ import annotations

from attribute_values import images, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_dynamodb_streams.columns import Schema, infer
from beam_dynamodb_streams.columns.scalar import convert_image
from beam_dynamodb_streams.records import encode_image

items = st.lists(st.builds(lambda image, key: encode_image(image | {"id": key}), images, texts), max_size=6)


@settings(max_examples=80, deadline=None)
@given(items, st.sampled_from(["text", "narrow"]))
def test_few_items_all_fit_and_in_any_order_the_schema_is_the_same(sample, numbers):
    inferred = infer(sample, {"id": "S"}, numbers=numbers)
    assert inferred.fitting == inferred.items == len(sample)
    assert infer(sample[::-1], {"id": "S"}, numbers=numbers).schema == inferred.schema
    assert Schema.from_json(inferred.schema.to_json()) == inferred.schema
    for item in sample:
        assert convert_image(inferred.schema, item)[1] == []
