"""`python -m beam_dynamodb_streams.kinesis`: the command `dynamodb-streams kinesis`."""

import sys

from beam_dynamodb_streams.commands.kinesis import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m beam_dynamodb_streams.kinesis"))
