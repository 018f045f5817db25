// A worker of KCL 1: appends what it processed to a file, and checkpoints each batch.
// Arguments: the endpoint of Kinesis, the endpoint of the lease table, the application, the worker, the file; and, for the
// DynamoDB Streams Kinesis Adapter in place of Kinesis, the ARN of the stream and the endpoint of DynamoDB Streams.

import com.amazonaws.auth.AWSStaticCredentialsProvider;
import com.amazonaws.auth.BasicAWSCredentials;
import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDBClientBuilder;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDBStreamsClientBuilder;
import com.amazonaws.services.dynamodbv2.streamsadapter.AmazonDynamoDBStreamsAdapterClient;
import com.amazonaws.services.dynamodbv2.streamsadapter.StreamsWorkerFactory;
import com.amazonaws.services.kinesis.clientlibrary.interfaces.v2.IRecordProcessor;
import com.amazonaws.services.kinesis.clientlibrary.lib.worker.InitialPositionInStream;
import com.amazonaws.services.kinesis.clientlibrary.lib.worker.KinesisClientLibConfiguration;
import com.amazonaws.services.kinesis.clientlibrary.lib.worker.ShutdownReason;
import com.amazonaws.services.kinesis.clientlibrary.lib.worker.Worker;
import com.amazonaws.services.kinesis.clientlibrary.types.InitializationInput;
import com.amazonaws.services.kinesis.clientlibrary.types.ProcessRecordsInput;
import com.amazonaws.services.kinesis.clientlibrary.types.ShutdownInput;
import com.amazonaws.services.kinesis.metrics.impl.NullMetricsFactory;
import com.amazonaws.services.kinesis.metrics.interfaces.MetricsLevel;
import com.amazonaws.services.kinesis.model.Record;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Executors;

public class Kcl1Worker {
    static Path file;

    static synchronized void write(String event, String shard, Record record) throws Exception {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("event", event);
        line.put("shard", shard);
        line.put("number", record == null ? null : record.getSequenceNumber());
        line.put("data", record == null ? null : StandardCharsets.UTF_8.decode(record.getData().duplicate()).toString());
        line.put("key", record == null ? null : record.getPartitionKey());
        byte[] text = (new ObjectMapper().writeValueAsString(line) + "\n").getBytes(StandardCharsets.UTF_8);
        Files.write(file, text, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    static class Processor implements IRecordProcessor {
        private String shard;

        public void initialize(InitializationInput input) {
            shard = input.getShardId();
        }

        public void processRecords(ProcessRecordsInput input) {
            try {
                for (Record record : input.getRecords()) {
                    write("record", shard, record);
                }
                if (!input.getRecords().isEmpty()) {
                    input.getCheckpointer().checkpoint();
                }
            } catch (Exception error) {
                throw new RuntimeException(error);
            }
        }

        public void shutdown(ShutdownInput input) {
            try {
                if (input.getShutdownReason() == ShutdownReason.TERMINATE) {
                    write("shard_ended", shard, null);
                    input.getCheckpointer().checkpoint();
                }
            } catch (Exception error) {
                throw new RuntimeException(error);
            }
        }
    }

    public static void main(String[] arguments) {
        file = Paths.get(arguments[4]);
        boolean adapted = arguments.length > 5;
        AWSStaticCredentialsProvider credentials =
                new AWSStaticCredentialsProvider(new BasicAWSCredentials("test", "test"));
        KinesisClientLibConfiguration configuration =
                new KinesisClientLibConfiguration(
                                arguments[2],
                                adapted ? arguments[5] : "orders",
                                credentials,
                                arguments[3])
                        .withKinesisEndpoint(arguments[0])
                        .withDynamoDBEndpoint(arguments[1])
                        .withRegionName("us-east-1")
                        .withInitialPositionInStream(InitialPositionInStream.TRIM_HORIZON)
                        .withMetricsLevel(MetricsLevel.NONE)
                        .withFailoverTimeMillis(4000)
                        .withIdleTimeBetweenReadsInMillis(250)
                        .withParentShardPollIntervalMillis(500)
                        .withShardSyncIntervalMillis(2000);
        if (!adapted) {
            new Worker.Builder().recordProcessorFactory(Processor::new).config(configuration).build().run();
            return;
        }
        StreamsWorkerFactory.createDynamoDbStreamsWorker(
                        Processor::new,
                        configuration,
                        new AmazonDynamoDBStreamsAdapterClient(
                                AmazonDynamoDBStreamsClientBuilder.standard()
                                        .withCredentials(credentials)
                                        .withEndpointConfiguration(new EndpointConfiguration(arguments[6], "us-east-1"))
                                        .build()),
                        AmazonDynamoDBClientBuilder.standard()
                                .withCredentials(credentials)
                                .withEndpointConfiguration(new EndpointConfiguration(arguments[1], "us-east-1"))
                                .build(),
                        new NullMetricsFactory(),
                        Executors.newCachedThreadPool())
                .run();
    }
}
