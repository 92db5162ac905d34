package dev.kvshare.cli.options;

import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.model.MemorySize;
import java.util.Locale;
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
      try {
        return MemorySize.parse(value);
      } catch (IllegalArgumentException e) {
        throw new TypeConversionException(e.getMessage());
      }
    }
  }

  /** A number of tokens, or a part such as {@code 25%}. */
  static final class Tokens implements ITypeConverter<TokenAmount> {
    @Override
    public TokenAmount convert(String value) {
      try {
        return TokenAmount.parse(value);
      } catch (IllegalArgumentException e) {
        throw new TypeConversionException(e.getMessage());
      }
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

  /** A number format, by its whole name or a usual short one. */
  static final class NumberFormat implements ITypeConverter<ComputeType> {
    @Override
    public ComputeType convert(String value) {
      return switch (value.toLowerCase(Locale.ROOT)) {
        case "float32", "f32", "fp32" -> ComputeType.FLOAT32;
        case "bfloat16", "bf16" -> ComputeType.BFLOAT16;
        case "float16", "f16", "fp16" -> ComputeType.FLOAT16;
        default ->
            throw new TypeConversionException(
                "'%s' is no number format: expected float32 (f32, fp32), bfloat16 (bf16) or float16 (f16, fp16)"
                    .formatted(value));
      };
    }
  }
}
