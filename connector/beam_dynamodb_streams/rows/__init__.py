"""Changes as rows with a Beam schema, for `beam.Select`, GroupBy, DataFrames, SqlTransform and Beam YAML."""

from beam_dynamodb_streams.rows.as_rows import AsRows, RowOutputs
from beam_dynamodb_streams.rows.convert import RowMaker
from beam_dynamodb_streams.rows.row_type import row_class, row_hint

__all__ = ["AsRows", "RowMaker", "RowOutputs", "row_class", "row_hint"]
