"""`python -m beam_dynamodb_streams.yaml` prints the path of `provider.yaml`."""

import argparse
import sys
from collections.abc import Sequence

from beam_dynamodb_streams.yaml import provider_path


def main(argv: Sequence[str] | None = None) -> int:
    """Print the path of the provider."""
    name = "python -m beam_dynamodb_streams.yaml"
    argparse.ArgumentParser(
        prog=name,
        description="Print the path of provider.yaml, which a Beam YAML pipeline includes.",
    ).parse_args(argv)
    print(provider_path())
    return 0


if __name__ == "__main__":
    sys.exit(main())
