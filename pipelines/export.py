"""``python -m pipelines.export``: the command ``dynamodb-streams export``, from a checkout."""

import sys

from beam_dynamodb_streams.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
