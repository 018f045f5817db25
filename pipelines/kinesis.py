"""Serve a table's changes to unmodified Kinesis consumers: the command `dynamodb-streams kinesis`."""

import sys
from collections.abc import Sequence

from beam_dynamodb_streams.commands import kinesis


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return kinesis.main(argv, prog="python -m pipelines.kinesis")


if __name__ == "__main__":
    sys.exit(main())
