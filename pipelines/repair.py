"""Mend a loss with incremental exports to S3: the command `dynamodb-streams repair`."""

import sys
from collections.abc import Sequence

from beam_dynamodb_streams.commands import repair


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return repair.main(argv, prog="python -m pipelines.repair")


if __name__ == "__main__":
    sys.exit(main())
