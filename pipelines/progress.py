"""``python -m pipelines.progress``: the command ``dynamodb-streams progress``, from a checkout."""

import sys

from beam_dynamodb_streams.commands.progress import main

if __name__ == "__main__":
    sys.exit(main())
