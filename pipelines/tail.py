"""``python -m pipelines.tail``: the command ``dynamodb-streams tail``, from a checkout."""

import sys

from beam_dynamodb_streams.commands.tail import main

if __name__ == "__main__":
    sys.exit(main())
