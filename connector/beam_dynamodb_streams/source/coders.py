"""Defines every coder of the package. Workers import this module when they start, see `beam.coders`."""

from __future__ import annotations

from beam_dynamodb_streams.records import beam_coders, beam_keys
from beam_dynamodb_streams.source import export_files, restriction, stream_read

__all__ = ["beam_coders", "beam_keys", "export_files", "restriction", "stream_read"]
