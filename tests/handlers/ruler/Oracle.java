// Answers, for each line {"pattern": text, "event": text} of the standard input, what AWS's own engine says of it.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import software.amazon.event.ruler.JsonRuleCompiler;
import software.amazon.event.ruler.Ruler;

public class Oracle {
  public static void main(String[] arguments) throws Exception {
    ObjectMapper json = new ObjectMapper();
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    StringBuilder answers = new StringBuilder();
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonNode asked = json.readTree(line);
      String pattern = asked.get("pattern").asText();
      if (JsonRuleCompiler.check(pattern) != null) {
        answers.append("refused\n");
      } else {
        answers.append(Ruler.matchesRule(asked.get("event").asText(), pattern) ? "matches\n" : "differs\n");
      }
    }
    System.out.print(answers);
  }
}
