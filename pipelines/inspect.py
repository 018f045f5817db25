"""``python -m pipelines.inspect``: the command ``dynamodb-streams inspect``, from a checkout."""

import sys

from beam_dynamodb_streams.commands.inspect import main

if __name__ == "__main__":
    sys.exit(main())
