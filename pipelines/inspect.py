"""Show a stream's shards, their ages, and what reading them costs: the command `dynamodb-streams inspect`."""

import sys
from collections.abc import Sequence

from beam_dynamodb_streams.commands import inspect


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return inspect.main(argv, prog="python -m pipelines.inspect")


if __name__ == "__main__":
    sys.exit(main())
