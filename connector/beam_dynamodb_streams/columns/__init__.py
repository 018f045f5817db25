"""Typed columns: a table's attributes as Arrow and Avro columns, declared, inferred and parsed."""

from beam_dynamodb_streams.columns.avro import (
    attribute_name,
    avro_name,
    avro_records,
    avro_rows,
    avro_schema,
    avro_schema_of,
    from_avro_row,
)
from beam_dynamodb_streams.columns.avro_binary import encode_avro
from beam_dynamodb_streams.columns.batch import ColumnBatch, Columns, Misfit
from beam_dynamodb_streams.columns.declare import SchemaOptions, read_schema
from beam_dynamodb_streams.columns.infer import Conflict, Inferred, infer
from beam_dynamodb_streams.columns.names import NameProblem, safe_name
from beam_dynamodb_streams.columns.observed import CaseConflict
from beam_dynamodb_streams.columns.schema import Schema, check_keys
from beam_dynamodb_streams.columns.types import json_field

__all__ = [
    "CaseConflict",
    "ColumnBatch",
    "Columns",
    "Conflict",
    "Inferred",
    "Misfit",
    "NameProblem",
    "Schema",
    "SchemaOptions",
    "attribute_name",
    "avro_name",
    "avro_records",
    "avro_rows",
    "avro_schema",
    "avro_schema_of",
    "check_keys",
    "encode_avro",
    "from_avro_row",
    "infer",
    "json_field",
    "read_schema",
    "safe_name",
]
