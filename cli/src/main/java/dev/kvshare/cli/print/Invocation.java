package dev.kvshare.cli.print;

import dev.kvshare.cli.options.ModelOptions;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** Writes command lines of this program that can be copied into a shell. */
public final class Invocation {
  private static final Pattern PLAIN =
      Pattern.compile("[\\w@%+=:,./-]+", Pattern.UNICODE_CHARACTER_CLASS);

  private Invocation() {}

  /** The program, called as the user called it, with these words. */
  public static String of(List<String> words) {
    return quote(System.getProperty("kvshare.command", "kvshare")) + " " + words(words);
  }

  /** The words as a shell reads them. */
  public static String words(List<String> words) {
    return words.stream().map(Invocation::quote).collect(Collectors.joining(" "));
  }

  /** As {@link #of(List)}, with the option that names the model unless it is the built-in one. */
  public static String of(String verb, ModelOptions model, List<String> words) {
    String modelWords = model.model == null ? "" : " --model " + quote(model.model);
    return of(List.of(verb)) + modelWords + " " + words(words);
  }

  public static String quote(String word) {
    return PLAIN.matcher(word).matches() ? word : "'" + word.replace("'", "'\\''") + "'";
  }
}
