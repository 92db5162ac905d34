package dev.kvshare.apply.model.storage;

import java.util.Locale;

/** Recognises files that carry a model's name but hold something else. */
public final class ForeignContent {
  private ForeignContent() {}

  /**
   * What the start of a file is, if it is something that commonly stands in for a model, and what
   * to do about it.
   *
   * @param start the first bytes as ISO 8859-1
   * @return null when nothing is recognised
   */
  public static String describe(String start) {
    if (start.startsWith("version https://git-lfs.github.com/spec/")) {
      return "this is a Git LFS pointer, not the file itself. Run `git lfs pull` in the repository, or"
          + " download the file again.";
    }
    String text = start.stripLeading().toLowerCase(Locale.ROOT);
    if (text.startsWith("<!doctype") || text.startsWith("<html") || text.startsWith("<?xml")) {
      return "this is a web page (HTML), not a model: probably a login or error page was saved. Download"
          + " the file again, with a token if the model is gated.";
    }
    return null;
  }
}
