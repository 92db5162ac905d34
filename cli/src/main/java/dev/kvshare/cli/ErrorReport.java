package dev.kvshare.cli;

import dev.kvshare.cli.command.ExitCodes;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;

/** Prints an error as one paragraph and finds its exit code. */
final class ErrorReport {
  private static final String OWN_PACKAGES = "dev.kvshare.";

  private final PrintWriter err;
  private final boolean verbose;

  ErrorReport(PrintWriter err, boolean verbose) {
    this.err = err;
    this.verbose = verbose;
  }

  /** Prints the error and returns the exit code of the command that it ended. */
  int print(Throwable error) {
    err.println("kvshare: " + paragraph(error));
    if (verbose) {
      error.printStackTrace(err);
    }
    err.flush();
    return ExitCodes.FAILED;
  }

  private static String paragraph(Throwable error) {
    if (error.getClass().getPackageName().startsWith(OWN_PACKAGES)) {
      return error.getMessage();
    }
    if (error instanceof UncheckedIOException unchecked) {
      return paragraph(unchecked.getCause());
    }
    if (error instanceof FileSystemException fileError) {
      return fileParagraph(fileError);
    }
    if (error instanceof FileNotFoundException || error instanceof IOException) {
      return "a file could not be read or written: " + error.getMessage() + ".";
    }
    if (error instanceof OutOfMemoryError || isAllocationFailure(error)) {
      return "the memory was not enough ("
          + firstLine(error)
          + "). Use a smaller model or less text at once (--batch-memory, --samples, --tokens, --passage-tokens), or --dtype bfloat16; the Java heap is set with KVSHARE_JAVA_OPTS=-Xmx8g.";
    }
    return "this is a bug in kvshare: "
        + error.getClass().getSimpleName()
        + (error.getMessage() == null ? "" : " (" + firstLine(error) + ")")
        + ". Run the command again with --verbose and report the whole output together with the line of kvshare --version.";
  }

  private static String fileParagraph(FileSystemException error) {
    if (error instanceof NoSuchFileException) {
      return error.getFile() + " does not exist. Check the path.";
    }
    if (error instanceof AccessDeniedException) {
      return error.getFile()
          + " may not be read or written by this user. Change its permissions or choose another path.";
    }
    return error.getFile() + " could not be read or written: " + error.getReason() + ".";
  }

  private static boolean isAllocationFailure(Throwable error) {
    String message = String.valueOf(error.getMessage());
    return message.contains("not enough memory") || message.contains("out of memory");
  }

  private static String firstLine(Throwable error) {
    return String.valueOf(error.getMessage()).lines().findFirst().orElse("");
  }
}
