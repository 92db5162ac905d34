package dev.kvshare.cli.options;

import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.calibrate.repair.RepairSettings;
import dev.kvshare.calibrate.repair.fit.QueryFit;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** What a repair refits, as the command line names it. */
public enum RepairPart {
  ATTENTION,
  OWN_TOKEN,
  QUERIES,
  FEED_FORWARD;

  /** The parts of the usual repair. */
  static final List<RepairPart> USUAL = List.of(ATTENTION, OWN_TOKEN, QUERIES);

  /** Reads a name such as {@code own-token}. */
  static final class Converter implements ITypeConverter<RepairPart> {
    @Override
    public RepairPart convert(String value) {
      return Arrays.stream(values())
          .filter(part -> part.word().equals(value.toLowerCase(Locale.ROOT)))
          .findFirst()
          .orElseThrow(
              () ->
                  new TypeConversionException(
                      "'%s' is no part that is refitted; these are %s"
                          .formatted(
                              value,
                              Arrays.stream(values())
                                  .map(RepairPart::word)
                                  .collect(Collectors.joining(", ")))));
    }
  }

  /** The usual repair of these parts alone. */
  public static RepairSettings settings(List<RepairPart> parts) {
    Set<Part> fitted = EnumSet.noneOf(Part.class);
    if (parts.contains(ATTENTION)) {
      fitted.add(Part.ATTENTION);
    }
    if (parts.contains(FEED_FORWARD)) {
      fitted.add(Part.FEED_FORWARD);
    }
    RepairSettings usual =
        RepairSettings.DEFAULT.withParts(fitted).withOwnToken(parts.contains(OWN_TOKEN));
    return parts.contains(QUERIES) ? usual : usual.withQueries(QueryFit.Settings.NONE);
  }

  private String word() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
