"""`python -m beam_dynamodb_streams`: the program `dynamodb-streams`."""

import sys

from beam_dynamodb_streams.commands import main

if __name__ == "__main__":
    sys.exit(main())
