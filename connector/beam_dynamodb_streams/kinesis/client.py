"""`KinesisOverStreams`: the methods of boto3's Kinesis client, over a table's stream."""

from __future__ import annotations

from datetime import datetime, timezone
from types import TracebackType
from typing import Any, Literal, get_args

from typing_extensions import Self

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.kinesis.answers import Answer, Moment, RecordsAnswer
from beam_dynamodb_streams.kinesis.faults import KinesisFault
from beam_dynamodb_streams.kinesis.interface import Interface
from beam_dynamodb_streams.kinesis.losses import LostRecords, OnDataLoss
from beam_dynamodb_streams.kinesis.record_data import DataForm
from beam_dynamodb_streams.source.options import connection_to
from beam_dynamodb_streams.source.streams import find_stream
from beam_dynamodb_streams.wire import Client
from beam_dynamodb_streams.wire.kinesis_model import local_client


class KinesisOverStreams:
    """A table's stream with the interface of Kinesis: pass it where code expects `boto3.client("kinesis")`.

    ```python
    kinesis = KinesisOverStreams(table="orders")
    for shard in kinesis.list_shards(StreamName="orders")["Shards"]:
        ...
    ```

    The six reading operations take and return what boto3's client does, and raise its exceptions
    (`kinesis.exceptions.ExpiredIteratorException`). Paginators and `meta` are boto3's own. It is thread-safe, and makes
    the calls in the thread that calls it. Enhanced fan-out and everything that writes is refused.

    Args:
      table: the table's name or ARN; its latest stream is read. Give this or `stream_arn`.
      stream_arn: the stream.
      region_name: as in boto3.
      endpoint_url: of another service than AWS, such as a local one.
      data: the form of each record's Data: "adapter", as the DynamoDB Streams Kinesis Adapter for Java writes it, or
        "kinesis-data-streams", as Kinesis Data Streams for DynamoDB does.
      on_data_loss: what to do when records were trimmed before a consumer read them. "fail" raises an
        InvalidArgumentException that names the shard and the sequence number; "continue" goes to the oldest record that
        is left, logs a warning, and adds to `losses`.

    Raises:
      InvalidOptionError: an option is wrong.
      NotFoundError: the table does not exist.
      StreamNotEnabledError: the table has no stream.
    """

    def __init__(
        self,
        table: str | None = None,
        *,
        stream_arn: str | None = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        data: DataForm = "adapter",
        on_data_loss: OnDataLoss = "fail",
    ) -> None:
        check_options(data=data, on_data_loss=on_data_loss)
        if (table is None) == (stream_arn is None):
            raise InvalidOptionError(
                f"table={table!r} and stream_arn={stream_arn!r}: give exactly one, the table's name or its stream's ARN"
            )
        connection = connection_to(table, stream_arn, region_name, endpoint_url)
        self._calls = Client(region_name=connection.region_name, endpoint_url=endpoint_url)
        try:
            arn = stream_arn if table is None else find_stream(self._calls, table)
            assert arn is not None  # noqa: S101 - exactly one of the two was given
            self._interface = Interface(self._calls, [arn], data=data, on_data_loss=on_data_loss)
        except BaseException:
            self._calls.close()
            raise
        self._client = local_client(self._calls.region_name, self._answer)

    def list_streams(self, **parameters: Any) -> dict[str, Any]:
        """Return the one stream, under the table's name."""
        return self._call("list_streams", parameters)

    def describe_stream(self, **parameters: Any) -> dict[str, Any]:
        """Return the stream with a page of its shards."""
        return self._call("describe_stream", parameters)

    def describe_stream_summary(self, **parameters: Any) -> dict[str, Any]:
        """Return the stream without its shards."""
        return self._call("describe_stream_summary", parameters)

    def list_shards(self, **parameters: Any) -> dict[str, Any]:
        """Return a page of the shards, or of those that one of the six filters chooses."""
        return self._call("list_shards", parameters)

    def get_shard_iterator(self, **parameters: Any) -> dict[str, Any]:
        """Return an iterator, which can be used for 15 minutes."""
        return self._call("get_shard_iterator", parameters)

    def get_records(self, **parameters: Any) -> dict[str, Any]:
        """Return at most 1,000 records. The last page of a shard has `ChildShards` and no `NextShardIterator`."""
        return self._call("get_records", parameters)

    def register_stream_consumer(self, **parameters: Any) -> dict[str, Any]:
        """Raise InvalidArgumentException: there is no enhanced fan-out, so use polling."""
        return self._call("register_stream_consumer", parameters)

    def subscribe_to_shard(self, **parameters: Any) -> dict[str, Any]:
        """Raise InvalidArgumentException: there is no enhanced fan-out, so use polling."""
        return self._call("subscribe_to_shard", parameters)

    def get_paginator(self, operation_name: str) -> Any:
        """Return boto3's paginator of an operation, such as "list_shards"."""
        return self._client.get_paginator(operation_name)

    def can_paginate(self, operation_name: str) -> bool:
        """Return whether an operation has a paginator."""
        return bool(self._client.can_paginate(operation_name))

    @property
    def exceptions(self) -> Any:
        """The exceptions of boto3's Kinesis client."""
        return self._client.exceptions

    @property
    def meta(self) -> Any:
        """The `meta` of a client of boto3: region, service model and events."""
        return self._client.meta

    @property
    def losses(self) -> tuple[LostRecords, ...]:
        """The losses that consumers were led past, with `on_data_loss="continue"`."""
        return self._interface.losses

    def close(self) -> None:
        """Close the connections. Later calls raise an InternalFailureException."""
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self.close()
        return False

    def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self._client, method)(**parameters)
        return answer

    def _answer(self, operation: str, parameters: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            return 200, members_of(self._interface.answer(operation, parameters))
        except KinesisFault as fault:
            error = {"Error": {"Code": fault.code, "Message": fault.message}, "message": fault.message}
            return fault.status, error


def check_options(*, data: object, on_data_loss: object) -> None:
    """Raise InvalidOptionError for a form of data or a way with losses that does not exist."""
    for name, option, known in (
        ("data", data, get_args(DataForm)),
        ("on_data_loss", on_data_loss, get_args(OnDataLoss)),
    ):
        if option not in known:
            raise InvalidOptionError(f'{name}={option!r} is not known: use "{known[0]}" or "{known[1]}"')


def members_of(answer: Answer) -> dict[str, Any]:
    """Return an answer as boto3's client returns it: with bytes, and with datetimes in UTC."""
    if not isinstance(answer, RecordsAnswer):
        return {name: _member(value) for name, value in answer.items()}
    found = answer.records
    records = [
        {
            "SequenceNumber": number,
            "ApproximateArrivalTimestamp": datetime.fromtimestamp(arrival / 1000, timezone.utc),
            "Data": data,
            "PartitionKey": key,
            "EncryptionType": "NONE",
        }
        for number, arrival, data, key in zip(found.numbers, found.arrivals, found.data, found.keys, strict=True)
    ]
    members: dict[str, Any] = {"Records": records, "MillisBehindLatest": answer.behind}
    if answer.next_iterator is not None:
        members["NextShardIterator"] = answer.next_iterator
    if answer.child_shards:
        members["ChildShards"] = answer.child_shards
    return members


def _member(value: Any) -> Any:
    match value:
        case Moment(seconds):
            return datetime.fromtimestamp(seconds, timezone.utc)
        case dict():
            return {name: _member(each) for name, each in value.items()}
        case list():
            return [_member(each) for each in value]
    return value
