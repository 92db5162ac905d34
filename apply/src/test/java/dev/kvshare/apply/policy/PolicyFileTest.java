package dev.kvshare.apply.policy;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.policy.Policy.RepairReference;
import dev.kvshare.apply.policy.Policy.Savings;
import dev.kvshare.apply.policy.Policy.ToolVersion;
import dev.kvshare.apply.policy.Provenance.Candidate;
import dev.kvshare.apply.policy.Provenance.ComparedMethod;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PolicyFileTest {
  private static final Plan PLAN = Plan.of(SharingMap.of(0, 1, 2, 0, 4, 1));

  @TempDir Path folder;

  /**
   * A policy with every field, as release 0.1.0 writes it to complete-0.1.0.json: with savings that
   * leave the windows out.
   */
  private static Policy complete() {
    ModelIdentity model =
        new ModelIdentity("llama", 6, 9, 3, 64, "sha256:" + "0123456789abcdef".repeat(4));
    return new Policy(
            model,
            PLAN.withWindows(new Plan.Windows(List.of(1, 4), 0, 256)),
            new RepairReference(
                "policy.safetensors",
                "ab".repeat(32),
                null,
                List.of(
                    "model.layers.3.self_attn.o_proj.weight",
                    "model.layers.5.self_attn.o_proj.weight")),
            null,
            null,
            new ToolVersion("kvshare", "0.1.0"),
            JsonNodeFactory.instance.objectNode())
        .withCalibration(
            origin -> {
              origin.method = "dissimilar";
              origin.threshold = 0.5;
              origin.similarity = 0.71234567891234;
              origin.dataset = new DatasetReference("parlour-calibration", "cd".repeat(32));
              origin.samples = 30;
              origin.tokensPerSample = 64;
              origin.seed = 0L;
              origin.accepted =
                  List.of(
                      new Candidate(3, 0, 12.0625, 0.875, null),
                      new Candidate(5, 1, 1.0 / 3, 0.75, null));
              origin.rejected = List.of(new Candidate(4, 2, 2e-9, null, null));
            });
  }

  private static Policy policy(Plan plan) {
    return Policy.of(complete().model(), plan);
  }

  private static byte[] golden(String name) throws IOException {
    try (InputStream in = PolicyFileTest.class.getResourceAsStream(name)) {
      return in.readAllBytes();
    }
  }

  private static Policy readGolden(String name) throws IOException {
    return PolicyFile.fromBytes(golden(name), name);
  }

  private static Policy recorded() {
    return complete()
        .withCalibration(
            origin -> {
              origin.command = "kvshare calibrate --keep 70%";
              origin.recall = new Provenance.Recall(0.9, 0.95, null, null, null);
              origin.dtype = "float32";
              origin.threads = 2;
            })
        .withRepair(
            new RepairReference(
                "policy.safetensors",
                "ab".repeat(32),
                PolicyFile.planSha256(complete().plan()),
                complete().repair().tensors()));
  }

  @Test
  void writesTheBytesOfTheGoldenFile() throws IOException {
    assertEquals(
        new String(golden("version-2/complete.json"), StandardCharsets.UTF_8),
        new String(PolicyFile.toBytes(recorded()), StandardCharsets.UTF_8));
  }

  @Test
  void keepsWhatWasFoundAgain() {
    Provenance.Recall recall =
        Provenance.Recall.of(
            1024,
            new Provenance.Recall.Answers(4, 4, -0.25, 3, -0.5, 0.125),
            new Provenance.Recall.Answers(4, 0, -7.5, null, null, null));
    Policy policy = complete().withCalibration(origin -> origin.recall = recall);
    byte[] bytes = PolicyFile.toBytes(policy);
    assertEquals(recall, PolicyFile.fromBytes(bytes, "test").recall());
    assertEquals(0.75, recall.exact());
    assertTrue(
        new String(bytes, StandardCharsets.UTF_8)
            .contains("\"four_keys\": {\"passages\": 4, \"unshared_exact\": 0"));
  }

  @Test
  void readsTheFirstReleaseAsTheSamePolicy() throws IOException {
    Policy read = readGolden("complete-0.1.0.json");

    assertEquals(complete(), read);
    assertEquals(
        new String(PolicyFile.toBytes(complete()), StandardCharsets.UTF_8),
        new String(PolicyFile.toBytes(read), StandardCharsets.UTF_8));
  }

  /** Layer 5 reads all of layer 1, so that only layer 4 keeps no more than its window. */
  @Test
  void savingsFollowFromThePlanAndTheLengthOfTheText() {
    assertEquals(new Savings(2048, 0.521, 2304), complete().savings());
    assertEquals(new Savings(256, 0.667, 2304), complete().withContext(256).savings());
    assertEquals(
        new Savings(2048, 0.667, 3072),
        Policy.of(complete().model(), complete().plan().withWindows(null)).savings());
    assertEquals(
        new Savings(2048, 0.521, 0),
        Policy.of(ModelIdentity.ofLayers(6), complete().plan()).savings());
    String text =
        new String(PolicyFile.toBytes(complete()), StandardCharsets.UTF_8)
            .replace("\"kv_fraction\": 0.521", "\"kv_fraction\": 0.4");
    assertEquals(complete(), PolicyFile.fromBytes(text.getBytes(StandardCharsets.UTF_8), "p"));
  }

  @Test
  void nothingIsLeftPerTokenWhereAllLayersAreWindowed() {
    Policy policy =
        policy(
            Plan.of(SharingMap.of(0, 0, 2, 3, 4, 5))
                .withWindows(new Plan.Windows(List.of(0, 1, 2, 3, 4, 5), 0, 8)));

    assertEquals(new Savings(2048, 0.003, 0), policy.savings());
    assertEquals(policy, PolicyFile.fromBytes(PolicyFile.toBytes(policy), "p"));
  }

  @Test
  void everyPlanIsReadAsItWasWritten() {
    SharingMap up = SharingMap.of(0, 4, 2, 0, 4, 4);
    for (Plan plan :
        List.of(
            PLAN,
            PLAN.withWindows(new Plan.Windows(List.of(1, 4), 4, 256)),
            PLAN.withPrefill(Plan.Prefill.EXACT),
            Plan.of(up).withUpward(new UpwardReading.Sequential()),
            Plan.of(up).withUpward(new UpwardReading.Parallel(7, 2)))) {
      byte[] bytes = PolicyFile.toBytes(policy(plan));
      assertEquals(plan, PolicyFile.fromBytes(bytes, "p").plan());
    }
  }

  @Test
  void readsTheGoldenFilesOfVersion2() throws IOException {
    assertEquals(Plan.of(SharingMap.of(0, 1, 1, 3)), readGolden("version-2/minimal.json").plan());
    Plan windowed = readGolden("version-2/windowed.json").plan();
    assertEquals(new Plan.Windows(List.of(1, 3), 4, 64), windowed.windows());
    assertEquals(Plan.Prefill.EXACT, windowed.prefill());
    Policy upward = readGolden("version-2/upward.json");
    assertEquals(new UpwardReading.Parallel(7, 2), upward.plan().upward());
    assertEquals("Zoë", upward.unknownFields().at("/author/name").asText());
    assertEquals(recorded(), readGolden("version-2/complete.json"));
  }

  /** Nothing of a plan can be changed without another digest; what is beside it does not count. */
  @Test
  void theDigestIsThatOfThePlanAlone() {
    String digest = PolicyFile.planSha256(PLAN);

    // echo -n '{"kv_source": [0, 1, 2, 0, 4, 1], "prefill": "plan", "upward": null, "window":
    // null}'
    // | sha256sum
    assertEquals("932eadbb3667330c4652a8a9baafbeae9ea0d4415ab30935be74e6a8b9dc8f5a", digest);
    assertNotEquals(digest, PolicyFile.planSha256(PLAN.withWindowed(1, 64, 4)));
    assertNotEquals(
        PolicyFile.planSha256(PLAN.withWindowed(1, 64, 4)),
        PolicyFile.planSha256(PLAN.withWindowed(1, 65, 4)));
    assertNotEquals(digest, PolicyFile.planSha256(PLAN.withPrefill(Plan.Prefill.EXACT)));
    assertNotEquals(digest, PolicyFile.planSha256(Plan.of(SharingMap.identity(6))));
  }

  @Test
  void readsWhatItWrites() {
    Path file = folder.resolve("policy.json");
    PolicyFile.write(complete(), null, file);

    assertEquals(complete(), PolicyFile.read(file));
  }

  @Test
  void keepsOnHowManySamplesARefusalWasCertain() {
    Candidate refused = new Candidate(4, 2, 1.5, 0.25, 21);
    Policy policy = policy(PLAN).withCalibration(origin -> origin.rejected = List.of(refused));
    byte[] bytes = PolicyFile.toBytes(policy);

    assertTrue(new String(bytes, StandardCharsets.UTF_8).contains("\"samples\": 21"));
    assertEquals(policy, PolicyFile.fromBytes(bytes, "policy.json"));
  }

  @Test
  void keepsWhatWasCompared() {
    List<ComparedMethod> compared =
        List.of(
            new ComparedMethod("greedy", 8, true, 0.0625, 1.015625, 0.875, 0.96875, null),
            new ComparedMethod("similar", 7, false, 0.125, 1.0625, 0.75, 0.9375, null));
    DatasetReference text = new DatasetReference("book.txt", "0".repeat(64));
    Policy policy =
        policy(PLAN)
            .withCalibration(
                origin -> {
                  origin.compared = compared;
                  origin.repairDataset = text;
                });
    byte[] bytes = PolicyFile.toBytes(policy);
    Policy read = PolicyFile.fromBytes(bytes, "policy.json");

    assertEquals(compared, read.calibration().compared());
    assertEquals(text, read.calibration().repairDataset());
    assertEquals(policy, read);
    String halved =
        new String(bytes, StandardCharsets.UTF_8)
            .replace("\"reduced_layers\": 8", "\"reduced_layers\": -1");
    String message =
        assertThrows(
                PolicyException.Format.class,
                () -> PolicyFile.fromBytes(halved.getBytes(StandardCharsets.UTF_8), "policy.json"))
            .getMessage();
    assertTrue(message.contains("$.calibration.compared[0].reduced_layers"), message);
  }

  /**
   * Policies of 0.1.0 could say how a training behind the repair went; nothing reads it any more.
   */
  @Test
  void keepsTheRecordOfAHealedPolicy() {
    String healing =
        "\"healing\": {\"steps\": 40, \"taken\": true, \"kl_divergence_before\": 0.0625, \"kl_divergence\": 0.03125}";
    String text =
        """
        {"schema": "kvshare.policy/1", "kv_source": [0, 1, 1, 3],
         "calibration": {"accepted": [], "rejected": [], %s}}
        """
            .formatted(healing);
    Policy read = PolicyFile.fromBytes(text.getBytes(StandardCharsets.UTF_8), "p");
    String written = new String(PolicyFile.toBytes(read), StandardCharsets.UTF_8);

    assertEquals(40, read.unknownFields().at("/calibration/healing/steps").intValue());
    assertTrue(written.contains("\"kl_divergence_before\": 0.0625"), written);
    assertEquals(read, PolicyFile.fromBytes(PolicyFile.toBytes(read), "p"));
  }

  @Test
  void readsAMinimalPolicy() throws IOException {
    Policy policy = readGolden("minimal.json");

    assertEquals(SharingMap.of(0, 1, 1, 3), policy.map());
    assertEquals(ModelIdentity.ofLayers(4), policy.model());
    assertEquals(new Savings(2048, 0.75, 0), policy.savings());
    assertNull(policy.calibration());
    assertNull(policy.tool());
  }

  @Test
  void readsAPolicyWrittenByHand() throws IOException {
    Policy policy = readGolden("by-hand.json");

    assertEquals(SharingMap.of(0, 1, 2, 0, 4, 1), policy.map());
    assertEquals("by hand", policy.calibration().method());
    assertNull(policy.calibration().threshold());
    assertEquals(0.91, policy.calibration().accepted().get(1).similarity());
  }

  @Test
  void readsUpwardSourcesAndALaterMinorVersion() throws IOException {
    Policy policy = readGolden("upward.json");

    assertTrue(policy.map().hasUpwardSources());
    assertEquals(new UpwardReading.Parallel(7, 2), policy.plan().upward());
    assertEquals(128, policy.plan().windows().last());
    assertEquals(List.of(0, 5), policy.plan().windowedLayers());
  }

  @Test
  void aToleranceOfPassesIsReadAndIgnoredWithAWarning() {
    String text =
        "{\"schema\": \"kvshare.policy/1\", \"kv_source\": [0, 2, 2], \"upper\":"
            + " {\"forward_passes\": 7, \"backward_passes\": 2, \"tolerance\": 0.01}}";
    PrintStream before = System.err;
    ByteArrayOutputStream log = new ByteArrayOutputStream();
    Policy policy;
    try {
      System.setErr(new PrintStream(log, true, StandardCharsets.UTF_8));
      policy = PolicyFile.fromBytes(text.getBytes(StandardCharsets.UTF_8), "The policy old.json");
    } finally {
      System.setErr(before);
    }

    assertEquals(new UpwardReading.Parallel(7, 2), policy.plan().upward());
    assertTrue(log.toString(StandardCharsets.UTF_8).contains("old.json has $.upper.tolerance"));
    String written = new String(PolicyFile.toBytes(policy), StandardCharsets.UTF_8);
    assertFalse(written.contains("tolerance"), written);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "minimal.json",
        "by-hand.json",
        "upward.json",
        "complete-0.1.0.json",
        "version-2/minimal.json",
        "version-2/complete.json",
        "version-2/windowed.json",
        "version-2/upward.json"
      })
  void keepsEveryFieldAndSettlesAfterOneRoundTrip(String name) throws IOException {
    byte[] bytes = golden(name);
    byte[] once = PolicyFile.toBytes(PolicyFile.fromBytes(bytes, name));
    byte[] twice = PolicyFile.toBytes(PolicyFile.fromBytes(once, name));

    assertArrayEquals(once, twice);
    String text = new String(bytes, StandardCharsets.UTF_8);
    JsonNode before = new ObjectMapper().readTree(text.substring(text.indexOf('{')));
    assertContains(before, new ObjectMapper().readTree(once), "");
  }

  /** Where version 2 has what stood at a place of version 1; both are JSON pointers. */
  private static final Map<String, String> MOVED =
      Map.of(
          "/kv_source", "/plan/kv_source",
          "/windowed_layers", "/plan/window/layers",
          "/sliding_window", "/plan/window/last",
          "/upper", "/plan/upward",
          "/calibration/strategy", "/calibration/method",
          "/model/quantisation", "/version_1/model/quantisation");

  private static void assertContains(JsonNode expected, JsonNode root, String path) {
    JsonNode found = root.at(path);
    for (Map.Entry<String, String> place : MOVED.entrySet()) {
      if (path.startsWith(place.getKey())) {
        found = root.at(place.getValue() + path.substring(place.getKey().length()));
      }
    }
    if (expected.isObject()) {
      expected
          .properties()
          .forEach(field -> assertContains(field.getValue(), root, path + "/" + field.getKey()));
    } else if (expected.isArray()) {
      assertEquals(expected.size(), found.size(), path);
      for (int i = 0; i < expected.size(); i++) {
        assertContains(expected.get(i), root, path + "/" + i);
      }
    } else if (expected.isNumber()) {
      // Savings of version 1 were those of an endless text, and are counted anew.
      if (!path.startsWith("/savings/kv_")) {
        assertEquals(expected.doubleValue(), found.doubleValue(), 0, path);
      }
    } else if (!expected.isNull() && !path.equals("/schema")) {
      assertEquals(expected, found, path);
    }
  }

  @Test
  void changingAPartKeepsUnknownFields() throws IOException {
    Policy policy = readGolden("by-hand.json").withTool(new ToolVersion("kvshare", "9"));

    JsonNode tree = new ObjectMapper().readTree(PolicyFile.toBytes(policy));
    assertEquals("Zoë", tree.at("/author/name").asText());
    assertEquals("looked alike", tree.at("/calibration/accepted/0/why").asText());
    assertEquals("9", tree.at("/tool/version").asText());
  }

  @Test
  void writesEmptyAndLargeNumbers() {
    Policy policy =
        complete()
            .withCalibration(
                origin -> {
                  origin.similarity = -0.0;
                  origin.threshold = 123456789012.0;
                  origin.seed = -5L;
                });

    String text = new String(PolicyFile.toBytes(policy), StandardCharsets.UTF_8);
    assertTrue(text.contains("\"similarity\": 0,"), text);
    assertTrue(text.contains("\"threshold\": 123456789000"), text);
    assertEquals(policy, PolicyFile.fromBytes(PolicyFile.toBytes(policy), "test"));
  }

  @Test
  void theSchemaAcceptsWhatIsWritten() throws IOException {
    assertEquals(
        List.of(),
        PolicySchema.VERSION_2.problems(
            new ObjectMapper().readTree(PolicyFile.toBytes(complete()))));
  }

  @Test
  void replacesAnOlderPolicy() throws IOException {
    Path file = folder.resolve("policy.json");
    Files.writeString(file, "old");
    PolicyFile.write(complete(), null, file);

    assertEquals(complete(), PolicyFile.read(file));
    try (var files = Files.list(folder)) {
      assertEquals(List.of(file), files.toList());
    }
  }
}
