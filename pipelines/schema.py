"""Infer a schema from a table's items and changes: the command `dynamodb-streams schema`."""

import sys
from collections.abc import Sequence

from beam_dynamodb_streams.commands import schema


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return schema.main(argv, prog="python -m pipelines.schema")


if __name__ == "__main__":
    sys.exit(main())
