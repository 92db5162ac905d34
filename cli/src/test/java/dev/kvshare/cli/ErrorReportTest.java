package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.cli.command.CommandException;
import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import org.junit.jupiter.api.Test;

class ErrorReportTest {

  private static String text(Throwable error, boolean verbose) {
    StringWriter text = new StringWriter();
    int code = new ErrorReport(new PrintWriter(text), verbose).print(error);
    assertEquals(ExitCodes.FAILED, code);
    return text.toString();
  }

  @Test
  void ourOwnMessagesStandAsTheyAre() {
    assertEquals(
        "kvshare: no prompts." + System.lineSeparator(),
        text(new CommandException("no prompts."), false));
  }

  @Test
  void fileErrorsSayWhatToDo() {
    assertTrue(
        text(new UncheckedIOException(new NoSuchFileException("/a/b")), false)
            .contains("/a/b does not exist. Check the path."));
    assertTrue(text(new AccessDeniedException("/a/b"), false).contains("permissions"));
    assertTrue(
        text(new FileSystemException("/a/b", null, "Is a directory"), false)
            .contains("/a/b could not be read or written: Is a directory."));
    assertTrue(text(new IOException("disk on fire"), false).contains("disk on fire"));
  }

  @Test
  void lackOfMemoryNamesTheOptionsThatNeedLess() {
    String heap = text(new OutOfMemoryError("Java heap space"), false);
    assertTrue(heap.contains("(Java heap space)") && heap.contains("KVSHARE_JAVA_OPTS"), heap);
    String engine =
        text(
            new IllegalStateException("DefaultCPUAllocator: not enough memory: you\ntried"), false);
    assertTrue(engine.contains("(DefaultCPUAllocator: not enough memory: you)"), engine);
  }

  @Test
  void anythingElseIsABugWithItsTraceOnlyWhenAskedFor() {
    IllegalStateException bug = new IllegalStateException("layer 3\nand more");
    String brief = text(bug, false);
    assertTrue(brief.contains("a bug in kvshare: IllegalStateException (layer 3)"), brief);
    assertEquals(1, brief.lines().count());
    assertTrue(text(bug, true).contains("at dev.kvshare.cli.ErrorReportTest"), brief);
  }
}
