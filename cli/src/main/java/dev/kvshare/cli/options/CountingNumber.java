package dev.kvshare.cli.options;

import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads a whole number of at least 0. */
final class CountingNumber implements ITypeConverter<Integer> {

  @Override
  public Integer convert(String value) {
    try {
      int number = Integer.parseInt(value);
      if (number >= 0) {
        return number;
      }
    } catch (NumberFormatException notANumber) {
      // The message below covers this case too.
    }
    throw new TypeConversionException("'" + value + "' is not a whole number of at least 0");
  }
}
