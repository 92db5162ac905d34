package dev.kvshare.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.datasets.EvaluationPassages;
import dev.kvshare.datasets.Passages;
import dev.kvshare.eval.EvaluationReport.Row;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.format.Report.Format;
import dev.kvshare.eval.quality.PassageScore.Estimate;
import dev.kvshare.eval.quality.Protocol;
import dev.kvshare.eval.speed.SpeedMeter.Speed;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;

class EvaluationReportTest {
  private static EvaluationReport report(boolean withSpeed) {
    Passages passages =
        new Passages(
            "t",
            "00",
            List.of(new int[8], new int[8]),
            new Passages.Counts("windows", 2, 2, 0),
            List.of());
    Speed speed = withSpeed ? new Speed(1234.5, 56.78, 0.2074) : null;
    return new EvaluationReport(
        new Protocol(passages, new EvaluationPassages(8, 2), 0, withSpeed ? 28 : 0),
        Report.newRow().put("threads", 2),
        List.of(
            new Row(
                null, new Estimate(39.625, 1.25), new Estimate(1, 0), 0, 1, 1, 46080, null, speed),
            new Row(
                "a,b|c.json",
                new Estimate(12345.6, 789.1),
                new Estimate(311.56, Double.NaN),
                1.5,
                0.25,
                0.5,
                23040,
                null,
                speed)),
        List.of("Beware."),
        List.of());
  }

  @Test
  void writesText() {
    assertEquals(
        """
        policy          perplexity  by byte    ratio  divergence  same token  KV cache  KV bytes/token  prefill tokens/s  decode tokens/s  prefill ms
        (unshared)   39.63 ± 1.250    6.295        1      0.0000     100.0 %   100.0 %          46,080             1,235            56.78       207.4
        a,b|c.json  12,346 ± 789.1    111.1  311.560      1.5000      25.0 %    50.0 %          23,040             1,235            56.78       207.4

        t: 2 passages of 8 tokens, without overlap, no BOS; 14 tokens (28 bytes) scored
        """,
        report(true).report().write(Format.TEXT));
  }

  @Test
  void writesMarkdown() {
    assertEquals(
        """
        | policy | perplexity | ratio | divergence | same token | KV cache | KV bytes/token |
        |---|---:|---:|---:|---:|---:|---:|
        | (unshared) | 39.63 ± 1.250 | 1 | 0.0000 | 100.0 % | 100.0 % | 46,080 |
        | a,b\\|c.json | 12,346 ± 789.1 | 311.560 | 1.5000 | 25.0 % | 50.0 % | 23,040 |

        t: 2 passages of 8 tokens, without overlap, no BOS; 14 tokens scored
        """,
        report(false).report().write(Format.MARKDOWN));
  }

  @Test
  void writesCommaSeparatedValues() {
    assertEquals(
        """
        policy,perplexity,perplexity_stderr,byte_perplexity,ratio,ratio_stderr,divergence,same_token_fraction,kv_fraction,kv_bytes_per_token,prefill_tokens_per_second,decode_tokens_per_second,prefill_seconds
        ,39.625,1.25,6.294839156007086,1.0,0.0,0.0,1.0,1.0,46080,1234.5,56.78,0.2074
        "a,b|c.json",12345.6,789.1,111.11075555498667,311.56,,1.5,0.25,0.5,23040,1234.5,56.78,0.2074
        """,
        report(true).report().write(Format.CSV));
  }

  @Test
  void writesJson() throws IOException {
    JsonNode root = new ObjectMapper().readTree(report(false).report().write(Format.JSON));

    assertEquals(2, root.path("rows").size());
    JsonNode unshared = root.at("/rows/0");
    assertTrue(unshared.path("policy").isNull());
    assertEquals(39.625, unshared.path("perplexity").doubleValue());
    assertTrue(unshared.path("prefill_tokens_per_second").isNull());
    assertEquals("a,b|c.json", root.at("/rows/1/policy").asText());
    assertTrue(root.at("/rows/1/ratio_stderr").isNull());
    assertEquals(14, root.at("/text/scored_tokens").asInt());
    assertEquals(8, root.at("/text/stride").asInt());
    assertTrue(root.at("/text/bos").isNull());
    assertEquals(2, root.at("/run/threads").asInt());
    assertEquals("Beware.", root.at("/warnings/0").asText());
  }
}
