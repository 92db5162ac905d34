package dev.kvshare.cli;

import dev.kvshare.cli.options.Everyday;
import java.lang.reflect.AnnotatedElement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine;
import picocli.CommandLine.Help;
import picocli.CommandLine.Model.ArgGroupSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.UsageMessageSpec;

/**
 * The two help texts of a command: {@code --help} shows the everyday options, with the first line
 * of each description, on one screen; {@code --help-all} shows everything, in groups. Texts are in
 * the resource {@code help.properties}.
 */
final class HelpText {
  static final String ALL = "--help-all";

  private final boolean all;

  private HelpText(boolean all) {
    this.all = all;
  }

  /** Makes a command line and its subcommands show the everyday help, or all of it. */
  static void install(CommandLine commandLine, boolean all) {
    HelpText text = new HelpText(all);
    Map<String, CommandLine.IHelpSectionRenderer> sections =
        new LinkedHashMap<>(commandLine.getHelpSectionMap());
    sections.put(UsageMessageSpec.SECTION_KEY_DESCRIPTION, text::description);
    sections.put(UsageMessageSpec.SECTION_KEY_OPTION_LIST, text::options);
    commandLine.setHelpSectionMap(sections);
    commandLine.getSubcommands().values().forEach(command -> install(command, all));
  }

  /** Paragraphs stand between empty lines; the everyday help has the first one. */
  private String description(Help help) {
    List<String> lines = Arrays.asList(help.commandSpec().usageMessage().description());
    int end = lines.size() < 2 ? -1 : lines.subList(1, lines.size()).indexOf("");
    List<String> shown = new ArrayList<>(all || end < 0 ? lines : lines.subList(0, end + 1));
    if (!help.commandSpec().positionalParameters().isEmpty()) {
      shown.add("");
    }
    UsageMessageSpec usage = help.commandSpec().usageMessage();
    return Help.join(
            help.ansi(),
            usage.width(),
            usage.adjustLineBreaksForWideCJKCharacters(),
            shown.toArray(String[]::new),
            new StringBuilder())
        .toString();
  }

  private String options(Help help) {
    Map<String, List<OptionSpec>> groups = new LinkedHashMap<>();
    List<OptionSpec> alone = new ArrayList<>(help.commandSpec().options());
    List<ArgGroupSpec> found = new ArrayList<>(help.commandSpec().argGroups());
    found.sort(Comparator.comparingInt(ArgGroupSpec::order));
    found.forEach(group -> alone.removeAll(group.options()));
    String usual = "%nOptions%n";
    groups.put(usual, new ArrayList<>(alone));
    for (ArgGroupSpec group : found) {
      groups
          .computeIfAbsent(all ? group.heading() : usual, heading -> new ArrayList<>())
          .addAll(group.options());
    }
    int before = groups.values().stream().mapToInt(List::size).sum();
    groups.replaceAll(
        (heading, options) -> options.stream().filter(this::isShown).map(this::brief).toList());
    List<OptionSpec> shown = groups.values().stream().flatMap(List::stream).toList();
    StringBuilder text = new StringBuilder();
    groups.forEach(
        (heading, options) -> {
          if (!options.isEmpty()) {
            Help.Layout layout = help.createDefaultLayout(shown, List.of(), help.colorScheme());
            layout.addAllOptions(options, help.parameterLabelRenderer());
            text.append(heading.formatted()).append(layout);
          }
        });
    if (shown.size() < before) {
      text.append(
          "%nAll %d options: %s %s%n".formatted(before, help.commandSpec().qualifiedName(), ALL));
    }
    return text.toString();
  }

  private boolean isShown(OptionSpec option) {
    return all
        || (option.userObject() instanceof AnnotatedElement field
            && field.isAnnotationPresent(Everyday.class));
  }

  private OptionSpec brief(OptionSpec option) {
    return all
        ? option
        : OptionSpec.builder(option)
            .description(option.description()[0].replace("%", "%%"))
            .build();
  }
}
