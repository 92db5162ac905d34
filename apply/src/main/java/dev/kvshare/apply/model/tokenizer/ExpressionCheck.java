package dev.kvshare.apply.model.tokenizer;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Refuses regular expressions on which the native library could fail. It matches by backtracking
 * and ends the whole process when one match takes ten million steps. An expression is let through
 * where a match takes at most a fixed number of steps for each character, as those of all known
 * tokenizers do: at most one repetition without bound stands before something that may still fail,
 * and it repeats what matches in one way only.
 *
 * <p>Syntax is that of Oniguruma. What is not known here is refused.
 */
final class ExpressionCheck {
  private static final int MAX_LENGTH = 20_000;
  private static final int MAX_DEPTH = 32;
  private static final long MAX_WAYS = 200;
  private static final int UNBOUNDED = Integer.MAX_VALUE;
  private static final Pattern BOUNDS = Pattern.compile("\\{(\\d{0,5})(,?)(\\d{0,5})}");
  private static final Pattern GROUP =
      Pattern.compile("\\?(?:#[^)]*|[imxaWDSPy-]*[:)]|<[=!]|[:=!>]|P?<[A-Za-z_]\\w*>)");
  private static final Pattern PROPERTY = Pattern.compile("\\\\[pP]\\{\\^?[\\w ]+}");

  private final String text;
  private int at;
  private int depth;

  private ExpressionCheck(String text) {
    this.text = text;
  }

  /** Why an expression is refused; null where it is not. */
  static String problem(String expression) {
    if (expression.length() > MAX_LENGTH) {
      return "it is longer than " + MAX_LENGTH + " characters";
    }
    try {
      ExpressionCheck check = new ExpressionCheck(expression);
      Cost cost = check.alternatives();
      if (check.at < expression.length()) {
        throw new Refusal("a ')' too many");
      }
      cost.requireFew();
      return null;
    } catch (Refusal refusal) {
      return refusal.getMessage();
    }
  }

  private static final class Refusal extends RuntimeException {
    private static final long serialVersionUID = 1L;

    Refusal(String message) {
      super(message, null, false, false);
    }
  }

  /**
   * What matching a part costs.
   *
   * @param inner repetitions without bound before the last thing that must match
   * @param last those behind it
   * @param required whether something must match
   * @param fixed whether it matches one number of characters in one way only
   * @param ways how many ways there are to match where nothing is repeated without bound
   * @param open whether it repeats what matches in several ways, so that nothing may fail behind it
   */
  private record Cost(
      int inner, int last, boolean required, boolean fixed, long ways, boolean open) {
    static final Cost NOTHING = new Cost(0, 0, false, true, 1, false);

    Cost then(Cost next) {
      if (open && next.required) {
        throw new Refusal("something follows a repetition of what matches in several ways");
      }
      Cost both =
          new Cost(
              next.required ? inner + last + next.inner : inner,
              next.required ? next.last : last + next.last,
              required || next.required,
              fixed && next.fixed,
              Math.min(MAX_WAYS + 1, ways * next.ways),
              open || next.open);
      both.requireFew();
      return both;
    }

    Cost or(Cost other) {
      return new Cost(
          Math.max(inner, other.inner),
          Math.max(last, other.last),
          required || other.required,
          false,
          ways + other.ways,
          open || other.open);
    }

    /** A group that is not entered again once it has matched. */
    Cost closed() {
      return new Cost(inner + last, 0, true, true, 1, false);
    }

    void requireFew() {
      if (inner > 1 || ways > MAX_WAYS) {
        throw new Refusal("a match may take too many steps");
      }
    }
  }

  private Cost alternatives() {
    if (++depth > MAX_DEPTH) {
      throw new Refusal("it is nested deeper than " + MAX_DEPTH);
    }
    Cost cost = sequence();
    while (at < text.length() && text.charAt(at) == '|') {
      at++;
      cost = cost.or(sequence());
    }
    depth--;
    return cost;
  }

  private Cost sequence() {
    Cost cost = Cost.NOTHING;
    while (at < text.length() && "|)".indexOf(text.charAt(at)) < 0) {
      cost = cost.then(repeated(item()));
    }
    return cost;
  }

  private Cost item() {
    Cost one = new Cost(0, 0, true, true, 1, false);
    switch (text.charAt(at)) {
      case '(':
        return group();
      case '[':
        characterClass();
        return one;
      case '\\':
        escape();
        return one;
      case '*', '+', '?':
        throw new Refusal("a quantifier without anything before it");
      default:
        at++;
        return one;
    }
  }

  private Cost group() {
    at++;
    String kind = "";
    if (at < text.length() && text.charAt(at) == '?') {
      Matcher matcher = GROUP.matcher(text).region(at, text.length());
      if (!matcher.lookingAt()) {
        throw new Refusal("a kind of group that is not known at " + at);
      }
      kind = matcher.group();
      at = matcher.end();
      if (kind.startsWith("?#")) {
        close();
        return Cost.NOTHING;
      }
      if (kind.endsWith(")")) {
        // Options for the rest of the group: (?i).
        return Cost.NOTHING;
      }
    }
    Cost cost = alternatives();
    close();
    boolean closed = kind.endsWith("=") || kind.endsWith("!") || kind.equals("?>");
    return closed ? cost.closed() : cost;
  }

  private void close() {
    if (at >= text.length() || text.charAt(at) != ')') {
      throw new Refusal("a group without end");
    }
    at++;
  }

  private void escape() {
    if (at + 1 >= text.length() || "kg123456789XR".indexOf(text.charAt(at + 1)) >= 0) {
      throw new Refusal("an escape that is not known, or a reference to a group, at " + at);
    }
    Matcher property = PROPERTY.matcher(text).region(at, text.length());
    boolean braces = text.startsWith("\\x{", at) && text.indexOf('}', at) > 0;
    at = property.lookingAt() ? property.end() : braces ? text.indexOf('}', at) + 1 : at + 2;
  }

  private void characterClass() {
    int open = 0;
    do {
      if (at >= text.length()) {
        throw new Refusal("a character class without end");
      }
      if (text.startsWith("[:", at) && text.indexOf(":]", at) > 0 && open > 0) {
        at = text.indexOf(":]", at) + 2;
        continue;
      }
      switch (text.charAt(at)) {
        case '[' -> {
          open++;
          at += text.startsWith("^", at + 1) ? 1 : 0;
          // A bracket that follows at once is one of the characters.
          at += text.startsWith("]", at + 1) ? 1 : 0;
        }
        case ']' -> open--;
        case '\\' -> at++;
        default -> {}
      }
      at++;
    } while (open > 0);
  }

  private Cost repeated(Cost item) {
    int start = at;
    int least;
    int most;
    Matcher bounds = BOUNDS.matcher(text).region(at, text.length());
    if (at < text.length() && "*+?".indexOf(text.charAt(at)) >= 0) {
      least = text.charAt(at) == '+' ? 1 : 0;
      most = text.charAt(at) == '?' ? 1 : UNBOUNDED;
      at++;
    } else if (bounds.lookingAt()
        && bounds.end() - bounds.start() > 2
        && !bounds.group().equals("{,}")) {
      least = bounds.group(1).isEmpty() ? 0 : Integer.parseInt(bounds.group(1));
      most =
          bounds.group(2).isEmpty()
              ? least
              : bounds.group(3).isEmpty() ? UNBOUNDED : Integer.parseInt(bounds.group(3));
      at = bounds.end();
    } else {
      return item;
    }
    boolean possessive = text.startsWith("+", at) && text.charAt(start) != '{';
    at += possessive || text.startsWith("?", at) ? 1 : 0;
    if (at < text.length() && "*+?".indexOf(text.charAt(at)) >= 0) {
      throw new Refusal("a quantifier behind another at " + at);
    }
    if (most <= 1) {
      return new Cost(
          item.inner,
          item.last,
          item.required && least > 0,
          false,
          item.ways + 1 - least,
          item.open);
    }
    if (item.inner > 0) {
      throw new Refusal("what is repeated at " + start + " may take many steps each time");
    }
    long ways = most == UNBOUNDED ? 1 : Math.max(1, (long) most - least + 1);
    return new Cost(
        0,
        most == UNBOUNDED ? 1 : 0,
        item.required && least > 0,
        item.fixed && most == least,
        Math.min(MAX_WAYS + 1, ways),
        !item.fixed);
  }
}
