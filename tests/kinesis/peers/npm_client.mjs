// The SDK for JavaScript: reads every shard from its horizon to its end, and then the children.
// Arguments: the endpoint of Kinesis, the file, the folder of node_modules.

import { appendFileSync } from "node:fs";
import { createRequire } from "node:module";

const [endpoint, file, modules] = process.argv.slice(2);
const { KinesisClient, GetRecordsCommand, GetShardIteratorCommand, ListShardsCommand } = createRequire(modules)(
  "@aws-sdk/client-kinesis",
);
const kinesis = new KinesisClient({
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
});

function write(event, shard, record) {
  const data = record && Buffer.from(record.Data).toString();
  const line = { event, shard, number: record?.SequenceNumber ?? null, data: data ?? null, key: record?.PartitionKey ?? null };
  appendFileSync(file, JSON.stringify(line) + "\n");
}

const begun = new Set();

async function read(shard) {
  if (begun.has(shard)) return;
  begun.add(shard);
  const start = { StreamName: "orders", ShardId: shard, ShardIteratorType: "TRIM_HORIZON" };
  let { ShardIterator: iterator } = await kinesis.send(new GetShardIteratorCommand(start));
  while (iterator) {
    const page = await kinesis.send(new GetRecordsCommand({ ShardIterator: iterator }));
    for (const record of page.Records) write("record", shard, record);
    if (!page.NextShardIterator) {
      write("shard_ended", shard);
      await Promise.all(page.ChildShards.map((child) => read(child.ShardId)));
    }
    iterator = page.NextShardIterator;
    if (!page.Records.length) await new Promise((wake) => setTimeout(wake, 200));
  }
}

const listed = await kinesis.send(
  new ListShardsCommand({ StreamName: "orders", ShardFilter: { Type: "AT_TRIM_HORIZON" } }),
);
await Promise.all(listed.Shards.map((shard) => read(shard.ShardId)));
