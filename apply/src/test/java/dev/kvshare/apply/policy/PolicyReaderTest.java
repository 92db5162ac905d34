package dev.kvshare.apply.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** One crafted bad input for each check of the reader. */
class PolicyReaderTest {
  @TempDir Path folder;

  private static Arguments body(String fields, String... fragments) {
    return Arguments.of("{\"schema\": \"kvshare.policy/1\", " + fields + "}", List.of(fragments));
  }

  /** A policy with three caches, one of which its window restricts. */
  private static Arguments windowed(String savings, String... fragments) {
    return body(
        "\"kv_source\": [0, 1, 2, 1], \"sliding_window\": 4, \"windowed_layers\": [2, 3], \"savings\": {%s}"
            .formatted(savings),
        fragments);
  }

  private static Arguments raw(String text, String... fragments) {
    return Arguments.of(text, List.of(fragments));
  }

  static Stream<Arguments> badPolicies() {
    return Stream.of(
        raw("{", "invalid JSON at byte 1", "Unexpected end-of-input"),
        raw("[]", "$: found ARRAY, expected an object"),
        raw("", "$: found MISSING"),
        raw("{} x", "invalid JSON at byte"),
        raw("[".repeat(100_000), "nested deeper than 64"),
        raw("{\"a\": 1, \"a\": 2}", "the key 'a' is there twice"),
        raw("{\"kv_source\": [0]}", "$.schema: found nothing, expected \"kvshare.policy/2\""),
        raw("{\"schema\": 1, \"kv_source\": [0]}", "$.schema: found 1"),
        raw("{\"schema\": \"other/1\", \"kv_source\": [0]}", "$.schema: found \"other/1\""),
        body("\"x\": 1e999999999, \"kv_source\": [0]", "$.x", "exponent"),
        body("\"x\": 1e99999999999999, \"kv_source\": [0]", "a number out of range"),
        body("\"x\": NaN, \"kv_source\": [0]", "invalid JSON at byte"),
        body("\"model\": {\"num_hidden_layers\": 1}", "kv_source"),
        body("\"kv_source\": []", "$.kv_source"),
        body("\"kv_source\": [0, \"1\", 1.5]", "$.kv_source[1]", "$.kv_source[2]"),
        body("\"kv_source\": [0, -1]", "$.kv_source[1]"),
        body("\"kv_source\": {\"0\": 0}", "$.kv_source"),
        body(
            "\"kv_source\": [0, 5, 1]",
            "(1) $.kv_source: layer 1 reads layer 5, which does not exist: a source must be 0 to 2",
            "(2) $.kv_source: layer 2 reads layer 1, which itself reads layer 5"),
        body("\"kv_source\": [1, 0]", "layer 0 reads layer 1, which itself reads layer 0"),
        body("\"kv_source\": [1, 1]", "source above its reader", "$.upper is null"),
        body(
            "\"kv_source\": [0, 1], \"model\": {\"num_hidden_layers\": 3}",
            "$.kv_source has 2 entries, but $.model.num_hidden_layers is 3"),
        body("\"kv_source\": [0], \"model\": {}", "$.model", "num_hidden_layers"),
        body(
            "\"kv_source\": [0], \"model\": {\"num_hidden_layers\": 1, \"fingerprint\": \"md5:0\"}",
            "$.model.fingerprint"),
        body(
            "\"kv_source\": [0, 0], \"savings\": {\"kv_layers\": 2, \"kv_fraction\": 1.0}",
            "$.savings.kv_layers is 2, but $.kv_source leaves 1 of 2 layers",
            "$.savings.kv_fraction is 1.0, but $.kv_source gives 0.500"),
        windowed(
            "\"kv_layers\": 1, \"kv_fraction\": 0.25",
            "$.savings.kv_layers is 1, but $.kv_source leaves 3 of 4 layers with a cache, $.windowed_layers 2 with all tokens",
            "$.savings.kv_fraction is 0.25, but $.kv_source and $.windowed_layers give 0.750 or 0.500"),
        windowed(
            "\"kv_layers\": 2, \"kv_fraction\": 0.75",
            "$.savings.kv_fraction is 0.75, but $.savings.kv_layers gives 0.500"),
        windowed(
            "\"kv_layers\": 3, \"kv_fraction\": 0.5",
            "$.savings.kv_fraction is 0.5, but $.savings.kv_layers gives 0.750"),
        body(
            "\"kv_source\": [0, 1], \"windowed_layers\": [1], \"savings\": {\"kv_layers\": 1, \"kv_fraction\": 0.5}",
            "(1) $.windowed_layers names layers, but $.sliding_window is null",
            "(2) $.savings.kv_layers is 1, but $.kv_source leaves 2 of 2 layers"),
        body("\"kv_source\": [0, 1], \"windowed_layers\": [1]", "$.sliding_window is null"),
        body(
            "\"kv_source\": [0, 1], \"sliding_window\": 4, \"windowed_layers\": [2]",
            "$.windowed_layers names layer 2: the layers are 0 to 1"),
        body("\"kv_source\": [0], \"sliding_window\": 0", "$.sliding_window"),
        body(
            "\"kv_source\": [0, 1], \"sliding_window\": 4, \"attention_sinks\": 4",
            "$.attention_sinks is 4, but $.windowed_layers names no layer: sinks belong to windows"),
        body(
            "\"kv_source\": [0], \"sliding_window\": 4, \"windowed_layers\": [0], \"attention_sinks\": -1",
            "$.attention_sinks"),
        body("\"kv_source\": [1, 1], \"upper\": {}", "$.upper"),
        body("\"kv_source\": [1, 1], \"upper\": {\"sequential\": false}", "$.upper.sequential"),
        body(
            "\"kv_source\": [1, 1], \"upper\": {\"sequential\": true, \"forward_passes\": 2}",
            "$.upper.forward_passes"),
        body(
            "\"kv_source\": [0], \"repair\": {\"file\": \"../x\", \"sha256\": \"%s\", \"tensors\": []}"
                .formatted("0".repeat(64)),
            "$.repair.file"),
        body("\"kv_source\": [0], \"repair\": {}", "'file'", "'sha256'", "'tensors'"),
        body(
            "\"kv_source\": [0], \"calibration\": {\"accepted\": [{\"layer\": 1}]}",
            "$.calibration.accepted[0]",
            "source"),
        body("\"kv_source\": [0], \"calibration\": {\"seed\": 1e30}", "$.calibration.seed"));
  }

  private static Arguments plan(String fields, String... fragments) {
    return Arguments.of(
        "{\"schema\": \"kvshare.policy/2\", \"plan\": {%s}}".formatted(fields), List.of(fragments));
  }

  static Stream<Arguments> badPlans() {
    return Stream.of(
        raw("{\"schema\": \"kvshare.policy/2\", \"kv_source\": [0]}", "plan"),
        raw("{\"schema\": \"kvshare.policy/2\", \"plan\": [0]}", "$.plan"),
        plan("", "kv_source"),
        plan("\"kv_source\": []", "$.plan.kv_source"),
        plan("\"kv_source\": [0, -1]", "$.plan.kv_source[1]"),
        plan(
            "\"kv_source\": [0, 5, 1]",
            "(1) $.plan.kv_source: layer 1 reads layer 5, which does not exist",
            "(2) $.plan.kv_source: layer 2 reads layer 1, which itself reads layer 5"),
        plan("\"kv_source\": [1, 1]", "source above its reader", "$.plan.upward is null"),
        plan("\"kv_source\": [0, 0], \"windowed_layer\": [1]", "$.plan.windowed_layer"),
        plan("\"kv_source\": [0, 0], \"window\": {\"layers\": [1]}", "'last'"),
        plan("\"kv_source\": [0, 0], \"window\": {\"layers\": [], \"last\": 4}", "window.layers"),
        plan(
            "\"kv_source\": [0, 0], \"window\": {\"layers\": [1], \"last\": 4, \"frist\": 2}",
            "$.plan.window.frist"),
        plan(
            "\"kv_source\": [0, 0], \"window\": {\"layers\": [2], \"last\": 4}",
            "$.plan.window.layers names layer 2: the layers are 0 to 1"),
        plan("\"kv_source\": [0, 0], \"prefill\": \"fast\"", "$.plan.prefill"),
        plan("\"kv_source\": [1, 1], \"upward\": {}", "$.plan.upward"),
        plan(
            "\"kv_source\": [1, 1], \"upward\": {\"sequential\": true, \"forward_passes\": 2}",
            "$.plan.upward.forward_passes"),
        plan(
            "\"kv_source\": [1, 1], \"upward\": {\"forward_passes\": 2, \"tolerance\": 0.1}",
            "$.plan.upward.tolerance"),
        raw(
            "{\"schema\": \"kvshare.policy/2\", \"plan\": {\"kv_source\": [0]}, \"model\": {\"num_hidden_layers\": 2, \"head_dims\": 4}}",
            "$.model.head_dims"),
        raw(
            "{\"schema\": \"kvshare.policy/2\", \"plan\": {\"kv_source\": [0]}, \"model\": {\"num_hidden_layers\": 2}}",
            "$.plan.kv_source has 1 entries, but $.model.num_hidden_layers is 2"),
        raw(
            "{\"schema\": \"kvshare.policy/2\", \"plan\": {\"kv_source\": [0]}, \"savings\": {\"kv_fraction\": 1}}",
            "$.savings",
            "context"));
  }

  @ParameterizedTest
  @MethodSource({"badPolicies", "badPlans"})
  void refusesNamingThePlaceAndTheRule(String text, List<String> fragments) {
    PolicyException.Format error =
        assertThrows(
            PolicyException.Format.class,
            () -> PolicyFile.fromBytes(text.getBytes(StandardCharsets.UTF_8), "The policy p.json"));

    assertTrue(error.getMessage().startsWith("The policy p.json "), error.getMessage());
    assertFalse(error.getMessage().contains("\n"), error.getMessage());
    for (String fragment : fragments) {
      assertTrue(error.getMessage().contains(fragment), error.getMessage());
    }
  }

  /** Releases before this counted layers with a cache, whatever windows leave of it. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "\"kv_layers\": 2, \"kv_fraction\": 0.5",
        "\"kv_layers\": 3, \"kv_fraction\": 0.75",
      })
  void readsSavingsWithAndWithoutTheWindows(String savings) {
    String text = (String) windowed(savings).get()[0];
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);

    Policy policy = PolicyFile.fromBytes(bytes, "p");
    assertEquals(new Policy.Savings(2048, 0.5, 0), policy.savings());
    assertEquals(policy, PolicyFile.fromBytes(PolicyFile.toBytes(policy), "p"));
  }

  @Test
  void namesTheFirstByteThatIsNotUtf8() {
    byte[] bytes = "{\"schema\": \"\u00e9\"}".getBytes(StandardCharsets.ISO_8859_1);
    PolicyException.Format error =
        assertThrows(PolicyException.Format.class, () -> PolicyFile.fromBytes(bytes, "p"));

    assertEquals(
        "p has invalid UTF-8 at byte 12 (0xe9). Correct the file, or write a new one with `kvshare calibrate`.",
        error.getMessage());
  }

  /** {@code windowed_layer} beside the plan is meant for it, or for version 1. */
  @Test
  void namesFieldsOfTheRootThatItDoesNotKnow() {
    for (String start :
        List.of("/1\", \"kv_source\": [0, 1]", "/2\", \"plan\": {\"kv_source\": [0, 1]}")) {
      String text = "{\"schema\": \"kvshare.policy%s, \"windowed_layer\": [1]}".formatted(start);
      PrintStream before = System.err;
      ByteArrayOutputStream log = new ByteArrayOutputStream();
      Policy policy;
      try {
        System.setErr(new PrintStream(log, true, StandardCharsets.UTF_8));
        policy = PolicyFile.fromBytes(text.getBytes(StandardCharsets.UTF_8), "The policy p.json");
      } finally {
        System.setErr(before);
      }
      assertTrue(
          log.toString(StandardCharsets.UTF_8).contains("p.json has the field $.windowed_layer,"));
      assertEquals(1, policy.unknownFields().path("windowed_layer").path(0).intValue());
    }
  }

  @Test
  void aByteOrderMarkIsPassedOver() throws IOException {
    Path file = folder.resolve("marked.json");
    Files.writeString(
        file, "\uFEFF {\"schema\": \"kvshare.policy/2\", \"plan\": {\"kv_source\": [0, 0]}}");

    assertTrue(PolicyFile.isPolicy(file));
    assertEquals(1, PolicyFile.read(file).map().sharedLayers());
    assertFalse(PolicyFile.isPolicy(Files.writeString(folder.resolve("model"), "GGUF {")));
    assertFalse(PolicyFile.isPolicy(folder));
  }

  @Test
  void tellsNewFromOldVersions() {
    assertTrue(versionError("kvshare.policy/3").contains("\"kvshare.policy/3\", which is too new"));
    assertTrue(versionError("kvshare.policy/0").contains("which is too old"));
  }

  private static String versionError(String schema) {
    String text = "{\"schema\": \"%s\", \"something\": \"else\"}".formatted(schema);
    return assertThrows(
            PolicyException.Version.class,
            () -> PolicyFile.fromBytes(text.getBytes(StandardCharsets.UTF_8), "p"))
        .getMessage();
  }

  @Test
  void listsAtMostTwentyProblems() {
    String text = "{\"schema\": \"kvshare.policy/1\", \"kv_source\": [" + "99,".repeat(29) + "99]}";
    String message =
        assertThrows(
                PolicyException.Format.class,
                () -> PolicyFile.fromBytes(text.getBytes(StandardCharsets.UTF_8), "p"))
            .getMessage();

    assertTrue(message.contains("(20) "), message);
    assertTrue(message.contains("; and 10 more."), message);
  }

  @Test
  void namesMissingEmptyAndDirectory() throws IOException {
    Path empty = Files.createFile(folder.resolve("empty.json"));
    Path missing = folder.resolve("missing.json");

    assertMessage("has 0 bytes", assertThrows(PolicyException.class, () -> PolicyFile.read(empty)));
    assertMessage(
        "There is no policy file " + missing,
        assertThrows(PolicyException.class, () -> PolicyFile.read(missing)));
    assertMessage(
        "is a directory", assertThrows(PolicyException.class, () -> PolicyFile.read(folder)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"complete-0.1.0.json", "version-2/complete.json"})
  void anyDamageGivesAPolicyOrAPolicyException(String name) throws IOException {
    byte[] whole;
    try (var in = PolicyReaderTest.class.getResourceAsStream(name)) {
      whole = in.readAllBytes();
    }
    Random random = new Random(3);
    for (int round = 0; round < 2000; round++) {
      byte[] damaged = whole.clone();
      for (int change = 0; change <= random.nextInt(3); change++) {
        damaged[random.nextInt(damaged.length)] = (byte) random.nextInt(256);
      }
      try {
        Policy policy = PolicyFile.fromBytes(damaged, "damaged");
        assertEquals(policy, PolicyFile.fromBytes(PolicyFile.toBytes(policy), "again"));
      } catch (PolicyException e) {
        assertTrue(e.getMessage().startsWith("damaged "), e.getMessage());
      }
    }
  }

  private static void assertMessage(String fragment, Exception error) {
    assertTrue(error.getMessage().contains(fragment), error.getMessage());
  }
}
