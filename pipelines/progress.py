"""List, export, import and reset the stored progress of an application: the command `dynamodb-streams progress`."""

import sys
from collections.abc import Sequence

from beam_dynamodb_streams.commands import progress


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return progress.main(argv, prog="python -m pipelines.progress")


if __name__ == "__main__":
    sys.exit(main())
