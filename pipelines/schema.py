"""``python -m pipelines.schema``: the command ``dynamodb-streams schema``, from a checkout."""

import sys

from beam_dynamodb_streams.commands.schema import main

if __name__ == "__main__":
    sys.exit(main())
