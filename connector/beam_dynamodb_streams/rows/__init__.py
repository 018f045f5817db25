"""Changes as rows with a Beam schema, for `beam.Select`, GroupBy, DataFrames, SqlTransform and Beam YAML."""

from beam_dynamodb_streams.rows.as_rows import AsRows, RowOutputs
from beam_dynamodb_streams.rows.convert import RowMaker
from beam_dynamodb_streams.rows.row_type import row_class, row_hint
from beam_dynamodb_streams.rows.to_batches import BatchMaker, MakeBatches

__all__ = ["AsRows", "BatchMaker", "MakeBatches", "RowMaker", "RowOutputs", "row_class", "row_hint"]
