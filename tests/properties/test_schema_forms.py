"""A schema's saved text holds all of it."""

from __future__ import annotations

import pickle

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from test_avro_rows import kinds, names

from beam_dynamodb_streams.columns import Schema, json_field, read_schema

fields = st.dictionaries(names | st.text("*", min_size=1, max_size=3), kinds, max_size=4)
policies = st.sampled_from(["dead_letter", "text", "raise"])


@settings(max_examples=100, deadline=None)
@given(fields, st.none() | names, policies, st.data())
def test_a_schema_is_the_same_after_it_was_saved(columns, document, policy, data):
    attributes = pa.schema([*(columns | {"id": pa.string()}).items()])
    if document is not None and document not in attributes.names:
        attributes = attributes.append(json_field(document))
    exceptions = data.draw(st.dictionaries(st.sampled_from(attributes.names), policies, max_size=2))
    schema = Schema(attributes, ("id",), other="other attributes", on_misfit=policy, on_misfit_in=exceptions)
    again = Schema.from_json(schema.to_json())
    assert again == schema
    assert again.arrow.equals(schema.arrow, check_metadata=True)
    assert again.to_json() == schema.to_json()
    assert pickle.loads(pickle.dumps(schema)) == schema  # noqa: S301
    assert read_schema(schema) == schema
