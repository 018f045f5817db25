"""Change records: attribute values, the record itself, its stored bytes and its columns."""

from connector.records.change_log import AVRO_SCHEMA, CHANGE_SCHEMA, AvroRow, to_arrow, to_avro_row
from connector.records.coder import ChangeRecordCoder, ChangeRow, register_coders
from connector.records.record import ChangeRecord
from connector.records.values import Image, Value, decode_image, decode_value, encode_image, encode_value

__all__ = [
    "AVRO_SCHEMA",
    "CHANGE_SCHEMA",
    "AvroRow",
    "ChangeRecord",
    "ChangeRecordCoder",
    "ChangeRow",
    "Image",
    "Value",
    "decode_image",
    "decode_value",
    "encode_image",
    "encode_value",
    "register_coders",
    "to_arrow",
    "to_avro_row",
]
