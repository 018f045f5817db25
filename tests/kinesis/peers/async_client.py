"""async-kinesis: appends what it read to a file. Runs in its own environment, so it imports nothing else.

Arguments: the endpoint of Kinesis, the file.
"""

import asyncio
import json
import sys

from kinesis import Consumer
from kinesis.processors import StringProcessor


async def main(endpoint, file):
    consumer = Consumer(
        "orders",
        endpoint_url=endpoint,
        region_name="us-east-1",
        processor=StringProcessor(),
        sleep_time_no_records=0.1,
        shard_fetch_rate=5,
        use_list_shards=True,
    )
    consumer._shard_refresh_interval = 1  # else it looks for new shards once a minute
    async with consumer:
        while True:
            async for data in consumer:
                change = json.loads(data)["dynamodb"]
                line = {"event": "record", "shard": None, "number": change["SequenceNumber"], "data": data, "key": None}
                with open(file, "a") as lines:
                    lines.write(json.dumps(line) + "\n")


asyncio.run(main(*sys.argv[1:]))
