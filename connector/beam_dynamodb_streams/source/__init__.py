"""Beam's side of the read."""

from beam_dynamodb_streams.source.output_coders import register_output_coders
from beam_dynamodb_streams.source.stream_read import register_coders

register_coders()
register_output_coders()
