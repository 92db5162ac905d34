package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.generate.GenerationRequest;
import dev.kvshare.apply.generate.PolicyModel;
import dev.kvshare.apply.generate.Prompt;
import dev.kvshare.apply.generate.TokenListener;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The Java example of the README, on the built-in model. */
class ReadmeExampleTest {
  @TempDir private Path folder;

  @Test
  void calibrateAndGenerate() {
    Path modelFolder = Path.of(System.getProperty("kvshare.root"), "models", "builtin");
    Path policyFile = folder.resolve("policy.json");

    // Find a policy and write it.
    CalibrationResult found = Calibration.of(modelFolder).keep("70%").method("auto").run();
    System.out.println(found.summary());
    found.write(policyFile);

    // Generate under it.
    try (PolicyModel model = PolicyModel.load(modelFolder, policyFile)) {
      var request = GenerationRequest.of(new Prompt.Text("It was a fine morning"));
      System.out.println(model.generate(request, TokenListener.NONE).completions().get(0).text());
    }

    assertTrue(found.reached());
    assertTrue(Files.exists(folder.resolve("report.html")));
    assertFalse(found.compared().isEmpty());
    List<String> lines = found.lines(method -> "calibrate --method " + method);
    assertEquals(found.summary(), lines.get(0));
    assertTrue(lines.stream().anyMatch(line -> line.endsWith("See: calibrate --method share")));
    assertTrue(lines.contains("    ● keeps its own keys and values"), lines.toString());
  }
}
