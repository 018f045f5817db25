"""Change records: attribute values, the record itself, its stored bytes and its text columns."""

from beam_dynamodb_streams.records.beam_batches import register_batches
from beam_dynamodb_streams.records.beam_coders import ChangeRecordCoder, RecordBatchCoder, register_coders
from beam_dynamodb_streams.records.beam_row import ChangeRow
from beam_dynamodb_streams.records.record import ChangeRecord
from beam_dynamodb_streams.records.text_columns import CHANGE_SCHEMA, change_batch, records_from_batch, to_arrow
from beam_dynamodb_streams.records.values import (
    Image,
    Value,
    decode_image,
    decode_value,
    encode_image,
    encode_value,
)
from beam_dynamodb_streams.records.versions import change_sequence_number

__all__ = [
    "CHANGE_SCHEMA",
    "ChangeRecord",
    "ChangeRecordCoder",
    "ChangeRow",
    "Image",
    "RecordBatchCoder",
    "Value",
    "change_batch",
    "change_sequence_number",
    "decode_image",
    "decode_value",
    "encode_image",
    "encode_value",
    "records_from_batch",
    "register_coders",
    "to_arrow",
]

# A worker may import no more than this of the package, and must know them too.
register_coders()
register_batches()
