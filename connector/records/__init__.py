"""Change records: attribute values, the record itself, its stored bytes and its columns."""

from connector.records.change_log import AVRO_SCHEMA, CHANGE_SCHEMA, AvroRow, to_arrow, to_avro_row
from connector.records.coder import ChangeRecordCoder, ChangeRow, register_coders
from connector.records.columns import ColumnBatch, Columns, Misfit
from connector.records.record import ChangeRecord
from connector.records.schema import Schema, json_field
from connector.records.values import Image, Value, decode_image, decode_value, encode_image, encode_value

__all__ = [
    "AVRO_SCHEMA",
    "CHANGE_SCHEMA",
    "AvroRow",
    "ChangeRecord",
    "ChangeRecordCoder",
    "ChangeRow",
    "ColumnBatch",
    "Columns",
    "Image",
    "Misfit",
    "Schema",
    "Value",
    "decode_image",
    "decode_value",
    "encode_image",
    "encode_value",
    "json_field",
    "register_coders",
    "to_arrow",
    "to_avro_row",
]
