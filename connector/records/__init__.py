"""Change records: attribute values, the record itself, its stored bytes and its columns."""

from connector.records.avro import avro_rows, avro_schema, from_avro_row
from connector.records.change_log import (
    CHANGE_SCHEMA,
    change_batch,
    records_from_batch,
    to_arrow,
)
from connector.records.coder import ChangeRecordCoder, ChangeRow, RecordBatchCoder, register_coders
from connector.records.column_types import json_field
from connector.records.columns import ColumnBatch, Columns, Misfit
from connector.records.declared import SchemaOptions, read_schema
from connector.records.inference import Conflict, Inferred, infer
from connector.records.record import ChangeRecord
from connector.records.schema import Schema, check_keys
from connector.records.values import Image, Value, decode_image, decode_value, encode_image, encode_value

__all__ = [
    "CHANGE_SCHEMA",
    "ChangeRecord",
    "ChangeRecordCoder",
    "ChangeRow",
    "ColumnBatch",
    "Columns",
    "Conflict",
    "Image",
    "Inferred",
    "Misfit",
    "RecordBatchCoder",
    "Schema",
    "SchemaOptions",
    "Value",
    "avro_rows",
    "avro_schema",
    "change_batch",
    "check_keys",
    "decode_image",
    "decode_value",
    "encode_image",
    "encode_value",
    "from_avro_row",
    "infer",
    "json_field",
    "read_schema",
    "records_from_batch",
    "register_coders",
    "to_arrow",
]
