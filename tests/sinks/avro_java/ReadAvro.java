import java.io.File;
import java.math.BigDecimal;
import java.time.Instant;
import org.apache.avro.Conversions;
import org.apache.avro.Schema;
import org.apache.avro.data.TimeConversions;
import org.apache.avro.file.DataFileReader;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;

/** Prints each record of an Avro file as Avro for Java reads it, logical types included. Names are checked strictly. */
public class ReadAvro {
  public static void main(String[] arguments) throws Exception {
    GenericData data = new GenericData();
    data.addLogicalTypeConversion(new Conversions.DecimalConversion());
    data.addLogicalTypeConversion(new TimeConversions.TimestampMicrosConversion());
    for (String path : arguments) {
      try (DataFileReader<GenericRecord> reader =
          new DataFileReader<>(new File(path), new GenericDatumReader<>(null, null, data))) {
        new Schema.Parser().parse(reader.getSchema().toString());
        for (GenericRecord record : reader) {
          System.out.println(record.get("event_name") + " " + ((Instant) record.get("approximate_creation_time")).toEpochMilli()
              + " " + record.get("keys") + " " + record.get("new_image"));
        }
      }
    }
  }
}
