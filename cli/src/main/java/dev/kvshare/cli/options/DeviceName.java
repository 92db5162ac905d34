package dev.kvshare.cli.options;

import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads the name of a device: {@code cpu}, {@code cuda:N}, or {@code cuda} for the first one. */
final class DeviceName implements ITypeConverter<String> {
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
