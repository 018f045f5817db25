// Exports all shards of a stream to one Parquet file with typed columns: what a user of the AWS SDK for Go would write.
//
// Usage: peer ENDPOINT STREAM_ARN FILE. Each shard is read by a goroutine of its own, which also makes the rows of its
// pages. One goroutine writes the file.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	streams "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"golang.org/x/sync/errgroup"
)

const rowGroupRows = 1 << 17

type key struct {
	OrderID *string `parquet:"order_id,optional"`
	Line    *int64  `parquet:"line,optional"`
}

type address struct {
	Street *string `parquet:"street,optional"`
	City   *string `parquet:"city,optional,dict"`
	Geo    []int64 `parquet:"geo,optional,list" parquet-element:",decimal(8:16)"`
}

type image struct {
	OrderID   *string  `parquet:"order_id,optional"`
	Line      *int64   `parquet:"line,optional"`
	Status    *string  `parquet:"status,optional,dict"`
	Total     *int64   `parquet:"total,optional,decimal(2:12)"`
	Quantity  *int64   `parquet:"quantity,optional"`
	Paid      *bool    `parquet:"paid,optional"`
	Coupon    *string  `parquet:"coupon,optional"`
	Tags      []string `parquet:"tags,optional,list"`
	Weights   []int64  `parquet:"weights,optional,list" parquet-element:",decimal(8:16)"`
	Signature []byte   `parquet:"signature,optional"`
	Address   *address `parquet:"address,optional"`
	UpdatedAt *int64   `parquet:"updated_at,optional"`
}

type change struct {
	EventID        string    `parquet:"event_id"`
	EventName      string    `parquet:"event_name,dict"`
	SequenceNumber string    `parquet:"sequence_number"`
	Version        string    `parquet:"version"`
	ShardID        string    `parquet:"shard_id,dict"`
	Created        time.Time `parquet:"approximate_creation_time,timestamp(microsecond)"`
	SizeBytes      *int64    `parquet:"size_bytes,optional"`
	StreamViewType string    `parquet:"stream_view_type,dict"`
	UserIdentity   *string   `parquet:"user_identity,optional"`
	Keys           key       `parquet:"keys"`
	NewImage       *image    `parquet:"new_image,optional"`
	OldImage       *image    `parquet:"old_image,optional"`
}

func text(item map[string]types.AttributeValue, name string) *string {
	if value, ok := item[name].(*types.AttributeValueMemberS); ok {
		return &value.Value
	}
	return nil
}

func integer(item map[string]types.AttributeValue, name string) (*int64, error) {
	value, ok := item[name].(*types.AttributeValueMemberN)
	if !ok {
		return nil, nil
	}
	number, err := strconv.ParseInt(value.Value, 10, 64)
	return &number, err
}

// decimal returns a plain number in units of its last decimal.
func decimal(digits string, scale int) (int64, error) {
	whole, fraction, _ := strings.Cut(digits, ".")
	if len(fraction) > scale {
		return 0, fmt.Errorf("%s has more than %d decimals", digits, scale)
	}
	var padded [40]byte
	number := append(append(padded[:0], whole...), fraction...)
	for range scale - len(fraction) {
		number = append(number, '0')
	}
	return strconv.ParseInt(string(number), 10, 64)
}

func decimals(digits []string, scale int) ([]int64, error) {
	numbers := make([]int64, len(digits))
	for index, each := range digits {
		number, err := decimal(each, scale)
		if err != nil {
			return nil, err
		}
		numbers[index] = number
	}
	return numbers, nil
}

func imageOf(item map[string]types.AttributeValue) (*image, error) {
	if item == nil {
		return nil, nil
	}
	var err error
	made := &image{OrderID: text(item, "order_id"), Status: text(item, "status"), Coupon: text(item, "coupon")}
	if made.Line, err = integer(item, "line"); err != nil {
		return nil, err
	}
	if made.Quantity, err = integer(item, "quantity"); err != nil {
		return nil, err
	}
	if made.UpdatedAt, err = integer(item, "updated_at"); err != nil {
		return nil, err
	}
	if value, ok := item["total"].(*types.AttributeValueMemberN); ok {
		total, err := decimal(value.Value, 2)
		if err != nil {
			return nil, err
		}
		made.Total = &total
	}
	if value, ok := item["paid"].(*types.AttributeValueMemberBOOL); ok {
		made.Paid = &value.Value
	}
	if value, ok := item["tags"].(*types.AttributeValueMemberSS); ok {
		made.Tags = value.Value
		slices.Sort(made.Tags)
	}
	if value, ok := item["weights"].(*types.AttributeValueMemberNS); ok {
		if made.Weights, err = decimals(value.Value, 8); err != nil {
			return nil, err
		}
		slices.Sort(made.Weights)
	}
	if value, ok := item["signature"].(*types.AttributeValueMemberB); ok {
		made.Signature = bytes.Clone(value.Value)
	}
	if value, ok := item["address"].(*types.AttributeValueMemberM); ok {
		made.Address = &address{Street: text(value.Value, "street"), City: text(value.Value, "city")}
		if geo, ok := value.Value["geo"].(*types.AttributeValueMemberL); ok {
			for _, element := range geo.Value {
				place, ok := element.(*types.AttributeValueMemberN)
				if !ok {
					return nil, fmt.Errorf("geo is not a list of numbers")
				}
				number, err := decimal(place.Value, 8)
				if err != nil {
					return nil, err
				}
				made.Address.Geo = append(made.Address.Geo, number)
			}
		}
	}
	return made, nil
}

func changeOf(record *types.Record, shard string) (change, error) {
	received := record.Dynamodb
	number := aws.ToString(received.SequenceNumber)
	var err error
	made := change{
		EventID:        aws.ToString(record.EventID),
		EventName:      string(record.EventName),
		SequenceNumber: number,
		Version:        strings.Repeat("0", 40-len(number)) + number,
		ShardID:        shard,
		Created:        aws.ToTime(received.ApproximateCreationDateTime),
		SizeBytes:      received.SizeBytes,
		StreamViewType: string(received.StreamViewType),
	}
	made.Keys.OrderID = text(received.Keys, "order_id")
	if made.Keys.Line, err = integer(received.Keys, "line"); err != nil {
		return made, err
	}
	if made.NewImage, err = imageOf(received.NewImage); err != nil {
		return made, err
	}
	made.OldImage, err = imageOf(received.OldImage)
	return made, err
}

func read(ctx context.Context, client *streams.Client, arn, shard string, pages chan<- []change) error {
	begin, err := client.GetShardIterator(ctx, &streams.GetShardIteratorInput{
		StreamArn: &arn, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		return err
	}
	for iterator := begin.ShardIterator; iterator != nil; {
		page, err := client.GetRecords(ctx, &streams.GetRecordsInput{ShardIterator: iterator, Limit: aws.Int32(1000)})
		if err != nil {
			return err
		}
		rows := make([]change, len(page.Records))
		for index := range page.Records {
			if rows[index], err = changeOf(&page.Records[index], shard); err != nil {
				return err
			}
		}
		select {
		case pages <- rows:
		case <-ctx.Done():
			return ctx.Err()
		}
		iterator = page.NextShardIterator
	}
	return nil
}

func shards(ctx context.Context, client *streams.Client, arn string) (found []string, err error) {
	for input := (&streams.DescribeStreamInput{StreamArn: &arn}); ; {
		answer, err := client.DescribeStream(ctx, input)
		if err != nil {
			return nil, err
		}
		for _, shard := range answer.StreamDescription.Shards {
			found = append(found, aws.ToString(shard.ShardId))
		}
		if input.ExclusiveStartShardId = answer.StreamDescription.LastEvaluatedShardId; input.ExclusiveStartShardId == nil {
			return found, nil
		}
	}
}

func write(path string, pages <-chan []change) (rows int, err error) {
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	// The level of the other programs, which is 1.
	codec := &zstd.Codec{Level: zstd.SpeedFastest}
	writer := parquet.NewGenericWriter[change](file, parquet.Compression(codec), parquet.MaxRowsPerRowGroup(rowGroupRows))
	for page := range pages {
		if _, err := writer.Write(page); err != nil {
			return rows, err
		}
		rows += len(page)
	}
	return rows, writer.Close()
}

func run(endpoint, arn, path string) (rows int, err error) {
	client := streams.New(streams.Options{
		Region:       "us-east-1",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("replay", "replay", ""),
	})
	found, err := shards(context.Background(), client, arn)
	if err != nil {
		return 0, err
	}
	pages := make(chan []change, 8)
	all, ctx := errgroup.WithContext(context.Background())
	all.Go(func() (err error) {
		rows, err = write(path, pages)
		return err
	})
	all.Go(func() error {
		defer close(pages)
		readers, ctx := errgroup.WithContext(ctx)
		for _, shard := range found {
			readers.Go(func() error { return read(ctx, client, arn, shard, pages) })
		}
		return readers.Wait()
	})
	return rows, all.Wait()
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: peer ENDPOINT STREAM_ARN FILE")
		os.Exit(2)
	}
	rows, err := run(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(rows)
}
