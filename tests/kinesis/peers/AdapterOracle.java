// The adapter's own Data: reads a record of DynamoDB Streams in each line, and prints what the adapter makes of it.

import com.amazonaws.services.dynamodbv2.model.*;
import com.amazonaws.services.dynamodbv2.streamsadapter.model.RecordAdapter;
import com.fasterxml.jackson.databind.*;
import java.io.*;
import java.nio.ByteBuffer;
import java.util.*;

public class AdapterOracle {
    static AttributeValue value(JsonNode node) {
        AttributeValue value = new AttributeValue();
        Map.Entry<String, JsonNode> only = node.fields().next();
        JsonNode held = only.getValue();
        switch (only.getKey()) {
            case "S": return value.withS(held.asText());
            case "N": return value.withN(held.asText());
            case "B": return value.withB(ByteBuffer.wrap(Base64.getDecoder().decode(held.asText())));
            case "BOOL": return value.withBOOL(held.asBoolean());
            case "NULL": return value.withNULL(held.asBoolean());
            case "SS": case "NS": case "BS": case "L":
                List<Object> all = new ArrayList<>();
                for (JsonNode each : held) all.add(only.getKey().equals("L") ? value(each) : only.getKey().equals("BS") ? ByteBuffer.wrap(Base64.getDecoder().decode(each.asText())) : each.asText());
                if (only.getKey().equals("SS")) value.setSS((List) all);
                if (only.getKey().equals("NS")) value.setNS((List) all);
                if (only.getKey().equals("BS")) value.setBS((List) all);
                if (only.getKey().equals("L")) value.setL((List) all);
                return value;
            case "M": value.setM(item(held)); return value;
        }
        throw new IllegalArgumentException(only.getKey());
    }
    static Map<String, AttributeValue> item(JsonNode node) {
        if (node == null) return null;
        Map<String, AttributeValue> item = new LinkedHashMap<>();
        node.fields().forEachRemaining(each -> item.put(each.getKey(), value(each.getValue())));
        return item;
    }
    static String text(JsonNode node, String name) { return node.hasNonNull(name) ? node.get(name).asText() : null; }
    public static void main(String[] args) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line; (line = lines.readLine()) != null; ) {
            JsonNode node = mapper.readTree(line);
            JsonNode change = node.get("dynamodb");
            StreamRecord inner = new StreamRecord();
            inner.setApproximateCreationDateTime(new Date(Math.round(change.get("ApproximateCreationDateTime").asDouble() * 1000)));
            inner.setKeys(item(change.get("Keys")));
            inner.setNewImage(item(change.get("NewImage")));
            inner.setOldImage(item(change.get("OldImage")));
            inner.setSequenceNumber(text(change, "SequenceNumber"));
            if (change.hasNonNull("SizeBytes")) inner.setSizeBytes(change.get("SizeBytes").asLong());
            inner.setStreamViewType(text(change, "StreamViewType"));
            com.amazonaws.services.dynamodbv2.model.Record record = new com.amazonaws.services.dynamodbv2.model.Record();
            record.setEventID(text(node, "eventID"));
            record.setEventName(text(node, "eventName"));
            record.setEventVersion(text(node, "eventVersion"));
            record.setEventSource(text(node, "eventSource"));
            record.setAwsRegion(text(node, "awsRegion"));
            record.setDynamodb(inner);
            if (node.hasNonNull("userIdentity")) record.setUserIdentity(new Identity().withPrincipalId(text(node.get("userIdentity"), "PrincipalId")).withType(text(node.get("userIdentity"), "Type")));
            RecordAdapter adapter = new RecordAdapter(record);
            System.out.println(adapter.getSequenceNumber() + " " + adapter.getPartitionKey() + " " + adapter.getApproximateArrivalTimestamp().getTime() + " " + Base64.getEncoder().encodeToString(adapter.getData().array()));
        }
    }
}
