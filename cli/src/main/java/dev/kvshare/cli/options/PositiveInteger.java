package dev.kvshare.cli.options;

import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads a count: a whole number of at least 1. */
final class PositiveInteger implements ITypeConverter<Integer> {

  @Override
  public Integer convert(String value) {
    try {
      int number = Integer.parseInt(value);
      if (number >= 1) {
        return number;
      }
    } catch (NumberFormatException notANumber) {
      // The message below covers this case too.
    }
    throw new TypeConversionException("'" + value + "' is not a whole number of at least 1");
  }
}
