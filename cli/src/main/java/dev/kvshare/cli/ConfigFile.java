package dev.kvshare.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.yaml.snakeyaml.DumperOptions.ScalarStyle;
import org.yaml.snakeyaml.LoaderOptions;
import org.yaml.snakeyaml.Yaml;
import org.yaml.snakeyaml.error.MarkedYAMLException;
import org.yaml.snakeyaml.error.YAMLException;
import org.yaml.snakeyaml.nodes.MappingNode;
import org.yaml.snakeyaml.nodes.Node;
import org.yaml.snakeyaml.nodes.NodeTuple;
import org.yaml.snakeyaml.nodes.ScalarNode;
import org.yaml.snakeyaml.nodes.SequenceNode;
import org.yaml.snakeyaml.nodes.Tag;
import picocli.CommandLine;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.PositionalParamSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;

/**
 * Options in a YAML file. A key is an option's long name without its dashes, or a parameter's name
 * in small letters; a value is written as on the command line, {@code true} for an option without a
 * value, a list for one that may be repeated.
 *
 * <p>The options of the file become words of the command line, so that they are read and refused in
 * the same way. One that stands on the command line itself is left out.
 */
final class ConfigFile {
  static final String OPTION = "--config";
  private static final String PRINT = "--print-config";
  private static final List<String> NEVER_IN_A_FILE =
      List.of(OPTION, PRINT, "--help", HelpText.ALL, "--version");
  private static final Pattern PLAIN = Pattern.compile("[A-Za-z0-9/.][A-Za-z0-9/._%+,-]*");

  private final CommandLine command;
  private final Path file;

  private ConfigFile(CommandLine command, Path file) {
    this.command = command;
    this.file = file;
  }

  /**
   * The words of a command line with those of its {@code --config} file.
   *
   * @param parser reads the words once to find the command and the file; not used again
   * @throws ParameterException if the file cannot be used
   */
  static String[] expand(CommandLine parser, String[] words) {
    if (Arrays.stream(words).noneMatch(word -> word.startsWith(OPTION))) {
      return words;
    }
    lenient(parser);
    ParseResult parsed = parser.parseArgs(words);
    for (; parsed.hasSubcommand(); parsed = parsed.subcommand()) {
      if (parsed.hasMatchedOption(OPTION)) {
        throw new ParameterException(
            parser, OPTION + " holds the options of a command: give it behind the command");
      }
    }
    Path file = parsed.matchedOptionValue(OPTION, (Path) null);
    if (file == null) {
      return words;
    }
    List<String> options = new ArrayList<>();
    Map<PositionalParamSpec, List<String>> parameters = new HashMap<>();
    new ConfigFile(parsed.commandSpec().commandLine(), file).read(parsed, options, parameters);
    List<String> expanded = new ArrayList<>(List.of(words));
    int end = expanded.indexOf("--");
    expanded.addAll(end < 0 ? expanded.size() : end, options);
    for (PositionalParamSpec parameter : parsed.commandSpec().positionalParameters()) {
      expanded.addAll(parameters.getOrDefault(parameter, List.of()));
    }
    return expanded.toArray(String[]::new);
  }

  /** Errors of the command line are told when it is read for good. */
  private static void lenient(CommandLine line) {
    line.getCommandSpec().parser().collectErrors(true).unmatchedArgumentsAllowed(true);
    line.getSubcommands().values().forEach(ConfigFile::lenient);
  }

  /** Whether the command is to print its configuration in place of running. */
  static boolean isPrinted(ParseResult parsed) {
    return parsed.hasMatchedOption(PRINT);
  }

  private void read(
      ParseResult parsed, List<String> options, Map<PositionalParamSpec, List<String>> parameters) {
    Map<String, Integer> lines = new HashMap<>();
    for (NodeTuple entry : entries()) {
      String key = scalar(entry.getKeyNode(), "a key").getValue();
      int line = line(entry.getKeyNode());
      Integer earlier = lines.put(key, line);
      if (earlier != null) {
        throw error("line %d: '%s' stands in line %d already".formatted(line, key, earlier));
      }
      ArgSpec target = target(key, line);
      if (isMatched(parsed, target)) {
        continue;
      }
      List<String> values = new ArrayList<>();
      for (Node node : nodes(entry.getValueNode(), key, target)) {
        values.addAll(words(node, key, target));
      }
      if (target instanceof PositionalParamSpec parameter) {
        parameters.put(parameter, values);
      } else {
        options.addAll(values);
      }
    }
  }

  private List<NodeTuple> entries() {
    try (var reader = Files.newBufferedReader(file)) {
      Node root = new Yaml(new LoaderOptions()).compose(reader);
      if (root == null) {
        return List.of();
      }
      if (root instanceof MappingNode mapping) {
        return mapping.getValue();
      }
      throw error("expected lines 'option: value'");
    } catch (MarkedYAMLException e) {
      throw error(
          "line %d is not YAML: %s".formatted(e.getProblemMark().getLine() + 1, e.getProblem()));
    } catch (YAMLException | CharacterCodingException e) {
      throw error("the file is not text in YAML: %s".formatted(e.getMessage()));
    } catch (NoSuchFileException e) {
      throw error("there is no such file");
    } catch (IOException e) {
      throw error("the file cannot be read (%s)".formatted(e.getMessage()));
    }
  }

  private ArgSpec target(String key, int line) {
    CommandSpec spec = command.getCommandSpec();
    List<String> names =
        spec.options().stream()
            .flatMap(option -> Stream.of(option.names()))
            .filter(name -> name.startsWith("--") && !NEVER_IN_A_FILE.contains(name))
            .toList();
    if (names.contains("--" + key)) {
      return spec.findOption("--" + key);
    }
    for (PositionalParamSpec parameter : spec.positionalParameters()) {
      if (key.equals(key(parameter))) {
        return parameter;
      }
    }
    String nearest = NearestName.of("--" + key, names);
    throw error(
        "line %d: '%s' is no option of %s%s"
            .formatted(
                line,
                key,
                spec.qualifiedName(),
                nearest == null ? "" : ". Did you mean " + nearest.substring(2) + "?"));
  }

  private static boolean isMatched(ParseResult parsed, ArgSpec target) {
    return target instanceof OptionSpec option
        ? parsed.hasMatchedOption(option)
        : parsed.matchedPositionals().contains((PositionalParamSpec) target);
  }

  private List<Node> nodes(Node value, String key, ArgSpec target) {
    if (!(value instanceof SequenceNode sequence)) {
      return List.of(value);
    }
    if (!target.isMultiValue()) {
      throw error("line %d: '%s' takes one value, not a list".formatted(line(value), key));
    }
    return sequence.getValue();
  }

  /** The words of the command line for one value. */
  private List<String> words(Node node, String key, ArgSpec target) {
    ScalarNode scalar = scalar(node, "the value of '" + key + "'");
    String value = scalar.getValue();
    if (scalar.getTag().equals(Tag.NULL)) {
      throw error("line %d: '%s' has no value".formatted(line(node), key));
    }
    if (!(target instanceof OptionSpec option)) {
      return List.of(value);
    }
    boolean plain = scalar.getScalarStyle() == ScalarStyle.PLAIN;
    if (option.arity().max() == 0) {
      if (plain && value.equals("true")) {
        return List.of(option.longestName());
      }
      if (plain && value.equals("false")) {
        return List.of();
      }
      throw error("line %d: '%s' is true or false, found '%s'".formatted(line(node), key, value));
    }
    return plain && value.equals("true") && option.arity().min() == 0
        ? List.of(option.longestName())
        : List.of(option.longestName() + "=" + value);
  }

  private ScalarNode scalar(Node node, String what) {
    if (node instanceof ScalarNode scalar) {
      return scalar;
    }
    throw error("line %d: %s must be one text or number".formatted(line(node), what));
  }

  private static int line(Node node) {
    return node.getStartMark().getLine() + 1;
  }

  private ParameterException error(String problem) {
    return new ParameterException(command, "%s %s: %s".formatted(OPTION, file, problem));
  }

  /**
   * Writes the options of a command line as a file that gives the same run; options that were left
   * out stand in comments, with the values they have.
   */
  static void print(ParseResult parsed, PrintWriter out) {
    CommandSpec spec = parsed.commandSpec();
    out.println("# " + spec.qualifiedName());
    for (PositionalParamSpec parameter : spec.positionalParameters()) {
      if (parsed.matchedPositionals().contains(parameter)) {
        print(key(parameter), parameter, parameter.stringValues(), out);
      }
    }
    List<String> defaults = new ArrayList<>();
    for (OptionSpec option : spec.options()) {
      String name = option.longestName();
      if (NEVER_IN_A_FILE.contains(name)) {
        continue;
      }
      if (parsed.hasMatchedOption(option)) {
        print(name.substring(2), option, parsed.matchedOption(name).stringValues(), out);
      } else if (option.getValue() != null
          && !Set.of(false, List.of()).contains(option.getValue())) {
        String value = option.getValue().toString();
        defaults.add(
            "# %s: %s"
                .formatted(
                    name.substring(2),
                    option.getValue() instanceof Enum<?> ? value.toLowerCase(Locale.ROOT) : value));
      }
    }
    if (!defaults.isEmpty()) {
      out.println("# Not given, with the values they have:");
      defaults.forEach(out::println);
    }
    out.flush();
  }

  private static void print(String key, ArgSpec arg, List<String> values, PrintWriter out) {
    if (arg instanceof OptionSpec option
        && option.arity().min() == 0
        && (option.arity().max() == 0
            || values.stream().allMatch(value -> value.equals(option.fallbackValue())))) {
      out.println(key + ": true");
    } else if (arg.isMultiValue()) {
      out.println(key + ":");
      values.forEach(value -> out.println("  - " + quoted(value)));
    } else {
      out.println(key + ": " + quoted(values.get(values.size() - 1)));
    }
  }

  private static String quoted(String value) {
    return PLAIN.matcher(value).matches()
            && !List.of("true", "null").contains(value.toLowerCase(Locale.ROOT))
        ? value
        : "\"" + value.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + "\"";
  }

  private static String key(PositionalParamSpec parameter) {
    return parameter.paramLabel().toLowerCase(Locale.ROOT);
  }
}
