"""Defines every coder of the package. Workers import this module when they start, see `beam.coders`."""

from __future__ import annotations

from beam_dynamodb_streams.records import beam_coders, beam_keys
from beam_dynamodb_streams.rows import output_rows
from beam_dynamodb_streams.source import export_files, output_coders, restriction, stream_read

__all__ = ["beam_coders", "beam_keys", "export_files", "output_coders", "output_rows", "restriction", "stream_read"]
