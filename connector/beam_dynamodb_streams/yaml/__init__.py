"""The transforms of Beam YAML: a read, and a sink for each format. Their arguments are JSON, and their elements rows.

`provider.yaml`, in the package, names them. A pipeline includes it by its path, which `python -m
beam_dynamodb_streams.yaml` prints.
"""

from importlib.resources import as_file, files

from beam_dynamodb_streams.yaml.read import read_from_dynamodb_cdc
from beam_dynamodb_streams.yaml.write import (
    commit_progress,
    write_changes_to_avro,
    write_changes_to_debezium,
    write_changes_to_json_lines,
    write_changes_to_parquet,
)

__all__ = [
    "commit_progress",
    "provider_path",
    "read_from_dynamodb_cdc",
    "write_changes_to_avro",
    "write_changes_to_debezium",
    "write_changes_to_json_lines",
    "write_changes_to_parquet",
]


def provider_path() -> str:
    """Return the path of `provider.yaml`, for `include` in the providers of a pipeline."""
    with as_file(files("beam_dynamodb_streams") / "provider.yaml") as path:
        return str(path)
