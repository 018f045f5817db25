"""The libraries of the server, which the extra `kinesis` installs. `KinesisOverStreams` needs none of them."""

from beam_dynamodb_streams.errors import InvalidOptionError

try:
    import cbor2
    import h2.config
    import h2.connection
    import h2.errors
    import h2.events
    import h2.exceptions
    import h2.settings
    import h11
except ImportError as missing:
    raise InvalidOptionError(
        f"{missing.name} is not installed, which the server needs: run pip install '.[kinesis]' in the source tree of"
        " beam-dynamodb-streams (it is not on PyPI yet)"
    ) from missing

__all__ = ["cbor2", "h2", "h11"]
