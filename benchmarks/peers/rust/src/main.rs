//! Exports all shards of a stream to one Parquet file with typed columns: what a user of the AWS SDK for Rust would write.
//!
//! `peer ENDPOINT STREAM_ARN FILE`. Each shard is read by a task of its own, which also makes the columns of its pages.
//! One thread writes the file.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Decimal128Builder, Int64Builder, ListBuilder, StringBuilder,
};
use arrow_array::types::Decimal128Type;
use arrow_array::{ArrayRef, RecordBatch, StructArray, TimestampMicrosecondArray};
use arrow_buffer::NullBuffer;
use arrow_cast::parse::parse_decimal;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use aws_credential_types::Credentials;
use aws_sdk_dynamodbstreams::config::{BehaviorVersion, Config, Region};
use aws_sdk_dynamodbstreams::types::{AttributeValue, Record, ShardIteratorType};
use aws_sdk_dynamodbstreams::Client;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tokio::sync::mpsc;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
type Item = HashMap<String, AttributeValue>;

const ROW_GROUP_ROWS: usize = 1 << 17;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, endpoint, arn, path] = &arguments[..] else {
        return Err("usage: peer ENDPOINT STREAM_ARN FILE".into());
    };
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("replay", "replay", None, None, "static"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let client = Client::from_conf(config);

    let schema = schema();
    let (pages, mut received) = mpsc::channel::<RecordBatch>(8);
    let (file, columns) = (File::create(path)?, schema.clone());
    let writing = tokio::task::spawn_blocking(move || -> Result<usize> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let mut writer = ArrowWriter::try_new(file, columns, Some(properties))?;
        let mut rows = 0;
        while let Some(batch) = received.blocking_recv() {
            rows += batch.num_rows();
            writer.write(&batch)?;
        }
        writer.close()?;
        Ok(rows)
    });

    let mut readers = Vec::new();
    for shard in shards(&client, arn).await? {
        let (client, arn, schema, pages) = (client.clone(), arn.clone(), schema.clone(), pages.clone());
        readers.push(tokio::spawn(async move { read(client, arn, shard, schema, pages).await }));
    }
    drop(pages);
    for reader in readers {
        reader.await??;
    }
    println!("{}", writing.await??);
    Ok(())
}

async fn shards(client: &Client, arn: &str) -> Result<Vec<String>> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let answer = client.describe_stream().stream_arn(arn).set_exclusive_start_shard_id(after).send().await?;
        let description = answer.stream_description.ok_or("no description")?;
        found.extend(description.shards().iter().filter_map(|shard| shard.shard_id.clone()));
        after = description.last_evaluated_shard_id;
        if after.is_none() {
            return Ok(found);
        }
    }
}

async fn read(
    client: Client,
    arn: String,
    shard: String,
    schema: SchemaRef,
    pages: mpsc::Sender<RecordBatch>,
) -> Result<()> {
    let begin = client
        .get_shard_iterator()
        .stream_arn(arn)
        .shard_id(&shard)
        .shard_iterator_type(ShardIteratorType::TrimHorizon);
    let mut iterator = begin.send().await?.shard_iterator;
    while let Some(next) = iterator {
        let page = client.get_records().shard_iterator(next).limit(1000).send().await?;
        iterator = page.next_shard_iterator;
        let records = page.records.unwrap_or_default();
        if !records.is_empty() {
            pages.send(batch(&records, &shard, &schema)?).await?;
        }
    }
    Ok(())
}

fn decimals() -> DataType {
    DataType::Decimal128(16, 8)
}

fn list_of(kind: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", kind, true)))
}

fn fields(columns: Vec<(&str, DataType)>) -> Fields {
    columns.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect()
}

fn key_fields() -> Fields {
    fields(vec![("order_id", DataType::Utf8), ("line", DataType::Int64)])
}

fn address_fields() -> Fields {
    fields(vec![("street", DataType::Utf8), ("city", DataType::Utf8), ("geo", list_of(decimals()))])
}

fn image_fields() -> Fields {
    fields(vec![
        ("order_id", DataType::Utf8),
        ("line", DataType::Int64),
        ("status", DataType::Utf8),
        ("total", DataType::Decimal128(12, 2)),
        ("quantity", DataType::Int64),
        ("paid", DataType::Boolean),
        ("coupon", DataType::Utf8),
        ("tags", list_of(DataType::Utf8)),
        ("weights", list_of(decimals())),
        ("signature", DataType::Binary),
        ("address", DataType::Struct(address_fields())),
        ("updated_at", DataType::Int64),
    ])
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("event_id", DataType::Utf8, false),
        Field::new("event_name", DataType::Utf8, false),
        Field::new("sequence_number", DataType::Utf8, false),
        Field::new("version", DataType::Utf8, false),
        Field::new("shard_id", DataType::Utf8, false),
        Field::new("approximate_creation_time", time, false),
        Field::new("size_bytes", DataType::Int64, true),
        Field::new("stream_view_type", DataType::Utf8, false),
        Field::new("user_identity", DataType::Utf8, true),
        Field::new("keys", DataType::Struct(key_fields()), false),
        Field::new("new_image", DataType::Struct(image_fields()), true),
        Field::new("old_image", DataType::Struct(image_fields()), true),
    ]))
}

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}

fn number<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_n().ok()).map(String::as_str)
}

fn integer(item: &Item, name: &str) -> Result<Option<i64>> {
    Ok(number(item, name).map(str::parse).transpose()?)
}

fn decimal(digits: &str, precision: u8, scale: i8) -> Result<i128> {
    Ok(parse_decimal::<Decimal128Type>(digits, precision, scale)?)
}

struct Images {
    order_id: StringBuilder,
    line: Int64Builder,
    status: StringBuilder,
    total: Decimal128Builder,
    quantity: Int64Builder,
    paid: BooleanBuilder,
    coupon: StringBuilder,
    tags: ListBuilder<StringBuilder>,
    weights: ListBuilder<Decimal128Builder>,
    signature: BinaryBuilder,
    street: StringBuilder,
    city: StringBuilder,
    geo: ListBuilder<Decimal128Builder>,
    address: Vec<bool>,
    updated_at: Int64Builder,
    present: Vec<bool>,
}

impl Images {
    fn new() -> Self {
        let numbers = || ListBuilder::new(Decimal128Builder::new().with_data_type(decimals()));
        Images {
            order_id: StringBuilder::new(),
            line: Int64Builder::new(),
            status: StringBuilder::new(),
            total: Decimal128Builder::new().with_data_type(DataType::Decimal128(12, 2)),
            quantity: Int64Builder::new(),
            paid: BooleanBuilder::new(),
            coupon: StringBuilder::new(),
            tags: ListBuilder::new(StringBuilder::new()),
            weights: numbers(),
            signature: BinaryBuilder::new(),
            street: StringBuilder::new(),
            city: StringBuilder::new(),
            geo: numbers(),
            address: Vec::new(),
            updated_at: Int64Builder::new(),
            present: Vec::new(),
        }
    }

    fn append(&mut self, image: Option<&Item>) -> Result<()> {
        let empty = Item::new();
        self.present.push(image.is_some());
        let item = image.unwrap_or(&empty);
        self.order_id.append_option(text(item, "order_id"));
        self.line.append_option(integer(item, "line")?);
        self.status.append_option(text(item, "status"));
        self.total.append_option(number(item, "total").map(|digits| decimal(digits, 12, 2)).transpose()?);
        self.quantity.append_option(integer(item, "quantity")?);
        self.paid.append_option(item.get("paid").and_then(|value| value.as_bool().ok()).copied());
        self.coupon.append_option(text(item, "coupon"));
        let mut tags = item.get("tags").and_then(|value| value.as_ss().ok()).cloned();
        if let Some(tags) = tags.as_mut() {
            tags.sort();
            tags.iter().for_each(|tag| self.tags.values().append_value(tag));
        }
        self.tags.append(tags.is_some());
        let weights = item.get("weights").and_then(|value| value.as_ns().ok());
        if let Some(weights) = weights {
            let mut numbers = weights.iter().map(|digits| decimal(digits, 16, 8)).collect::<Result<Vec<_>>>()?;
            numbers.sort();
            numbers.into_iter().for_each(|each| self.weights.values().append_value(each));
        }
        self.weights.append(weights.is_some());
        let signature = item.get("signature").and_then(|value| value.as_b().ok());
        self.signature.append_option(signature.map(|blob| blob.as_ref()));
        let address = item.get("address").and_then(|value| value.as_m().ok());
        self.address.push(address.is_some());
        let address = address.unwrap_or(&empty);
        self.street.append_option(text(address, "street"));
        self.city.append_option(text(address, "city"));
        let geo = address.get("geo").and_then(|value| value.as_l().ok());
        for place in geo.into_iter().flatten() {
            let digits = place.as_n().map_err(|_| "geo is not a list of numbers")?;
            self.geo.values().append_value(decimal(digits, 16, 8)?);
        }
        self.geo.append(geo.is_some());
        self.updated_at.append_option(integer(item, "updated_at")?);
        Ok(())
    }

    fn finish(mut self) -> StructArray {
        let address = StructArray::new(
            address_fields(),
            vec![Arc::new(self.street.finish()), Arc::new(self.city.finish()), Arc::new(self.geo.finish())],
            Some(NullBuffer::from(self.address)),
        );
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.order_id.finish()),
            Arc::new(self.line.finish()),
            Arc::new(self.status.finish()),
            Arc::new(self.total.finish()),
            Arc::new(self.quantity.finish()),
            Arc::new(self.paid.finish()),
            Arc::new(self.coupon.finish()),
            Arc::new(self.tags.finish()),
            Arc::new(self.weights.finish()),
            Arc::new(self.signature.finish()),
            Arc::new(address),
            Arc::new(self.updated_at.finish()),
        ];
        StructArray::new(image_fields(), columns, Some(NullBuffer::from(self.present)))
    }
}

fn batch(records: &[Record], shard: &str, schema: &SchemaRef) -> Result<RecordBatch> {
    let (mut ids, mut names, mut numbers) = (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
    let (mut versions, mut shards, mut views) = (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
    let (mut sizes, mut identities) = (Int64Builder::new(), StringBuilder::new());
    let (mut order_ids, mut lines) = (StringBuilder::new(), Int64Builder::new());
    let (mut new, mut old) = (Images::new(), Images::new());
    let mut times = Vec::with_capacity(records.len());
    for record in records {
        let change = record.dynamodb.as_ref().ok_or("a record without a change")?;
        let number = change.sequence_number().ok_or("a change without a sequence number")?;
        let keys = change.keys().ok_or("a change without keys")?;
        let created = change.approximate_creation_date_time.ok_or("a change without a time")?;
        ids.append_option(record.event_id());
        names.append_option(record.event_name().map(|name| name.as_str()));
        numbers.append_value(number);
        versions.append_value(format!("{number:0>40}"));
        shards.append_value(shard);
        times.push(created.secs() * 1_000_000 + i64::from(created.subsec_nanos() / 1000));
        sizes.append_option(change.size_bytes);
        views.append_option(change.stream_view_type().map(|view| view.as_str()));
        identities.append_null();
        order_ids.append_option(text(keys, "order_id"));
        lines.append_option(integer(keys, "line")?);
        new.append(change.new_image())?;
        old.append(change.old_image())?;
    }
    let keys = StructArray::new(key_fields(), vec![Arc::new(order_ids.finish()), Arc::new(lines.finish())], None);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids.finish()),
        Arc::new(names.finish()),
        Arc::new(numbers.finish()),
        Arc::new(versions.finish()),
        Arc::new(shards.finish()),
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
        Arc::new(sizes.finish()),
        Arc::new(views.finish()),
        Arc::new(identities.finish()),
        Arc::new(keys),
        Arc::new(new.finish()),
        Arc::new(old.finish()),
    ];
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
