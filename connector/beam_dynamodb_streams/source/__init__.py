"""Beam's side of the read."""

from beam_dynamodb_streams.source.coders import register_coders

register_coders()
