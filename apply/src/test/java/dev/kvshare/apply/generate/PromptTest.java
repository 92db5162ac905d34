package dev.kvshare.apply.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.generate.GenerationRequest.GenerationException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

class PromptTest {

  @Test
  void emptyLinesOfAFileArePassedOver() {
    assertEquals(List.of("a b", "ü"), Prompt.lines(utf8("a b\n\n  \r\nü\n"), "prompts.txt"));
  }

  @Test
  void aFileWithoutPromptsIsRefused() {
    assertRefused(utf8(" \n\n"), "prompts.txt holds no prompt");
    assertRefused(new byte[] {'a', (byte) 0xff}, "prompts.txt is not UTF-8 text");
  }

  @Test
  void titlesAreWhatAPersonWrote() {
    assertEquals("text", new Prompt.Text("text").title());
    assertEquals("hello", Prompt.ofUser("be brief", "hello").title());
    assertEquals("", new Prompt.Ids(List.of(1, 2)).title());
  }

  @Test
  void aSystemMessageStandsFirst() {
    assertEquals(1, Prompt.ofUser(null, "hello").messages().size());
    assertEquals("system", Prompt.ofUser("be brief", "hello").messages().get(0).role());
  }

  private static void assertRefused(byte[] bytes, String start) {
    String message =
        assertThrows(GenerationException.class, () -> Prompt.lines(bytes, "prompts.txt"))
            .getMessage();
    assertTrue(message.startsWith(start), message);
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
