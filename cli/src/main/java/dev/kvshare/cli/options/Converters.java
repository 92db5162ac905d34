package dev.kvshare.cli.options;

import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.model.MemorySize;
import java.util.function.Function;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads the values of options. What cannot be read is refused with what was expected. */
final class Converters {
  private Converters() {}

  /** A whole number of at least 1. */
  static final class Positive implements ITypeConverter<Integer> {
    @Override
    public Integer convert(String value) {
      return wholeNumber(value, 1);
    }
  }

  /** A whole number of at least 0. */
  static final class Count implements ITypeConverter<Integer> {
    @Override
    public Integer convert(String value) {
      return wholeNumber(value, 0);
    }
  }

  private static int wholeNumber(String value, int least) {
    try {
      int number = Integer.parseInt(value);
      if (number >= least) {
        return number;
      }
    } catch (NumberFormatException notANumber) {
      // The message below covers this case too.
    }
    throw new TypeConversionException(
        "'%s' is not a whole number of at least %d".formatted(value, least));
  }

  /** An amount of memory such as {@code 8GiB}, in bytes. */
  static final class Bytes implements ITypeConverter<Long> {
    @Override
    public Long convert(String value) {
      return parsed(value, MemorySize::parse);
    }
  }

  /** A number of tokens, or a part such as {@code 25%}. */
  static final class Tokens implements ITypeConverter<TokenAmount> {
    @Override
    public TokenAmount convert(String value) {
      return parsed(value, TokenAmount::parse);
    }
  }

  /** A number format, by its whole name or a usual short one. */
  static final class NumberFormat implements ITypeConverter<ComputeType> {
    @Override
    public ComputeType convert(String value) {
      return parsed(value, ComputeType::of);
    }
  }

  private static <T> T parsed(String value, Function<String, T> parser) {
    try {
      return parser.apply(value);
    } catch (IllegalArgumentException e) {
      throw new TypeConversionException(e.getMessage());
    }
  }

  /** A device: {@code cpu}, {@code cuda:N}, or {@code cuda} for the first one. */
  static final class Device implements ITypeConverter<String> {
    private static final Pattern GPU = Pattern.compile("cuda:\\d+");

    @Override
    public String convert(String value) {
      if (value.equals("cuda")) {
        return "cuda:0";
      }
      if (value.equals("cpu") || GPU.matcher(value).matches()) {
        return value;
      }
      throw new TypeConversionException("'" + value + "' is neither cpu nor cuda:0 and so on");
    }
  }
}
