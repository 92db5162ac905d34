package dev.kvshare.apply.model.hub;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * The files of a repository that are needed to run the model.
 *
 * @param files their names
 * @param gguf the GGUF file that holds the whole model; null for a model of safetensors
 */
record FileSelection(List<String> files, String gguf) {
  private static final Set<String> DESCRIPTIONS =
      Set.of(
          "config.json",
          "generation_config.json",
          "tokenizer.json",
          "tokenizer_config.json",
          "special_tokens_map.json",
          "added_tokens.json",
          "chat_template.jinja");

  private static final String SINGLE = "model.safetensors";
  private static final String INDEX = "model.safetensors.index.json";
  private static final Pattern SHARD = Pattern.compile("model-\\d+-of-\\d+\\.safetensors");
  private static final Pattern GGUF = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]*\\.gguf");
  private static final Pattern PICKLE = Pattern.compile("[^/]+\\.(bin|pt|pth|ckpt)");

  FileSelection {
    files = List.copyOf(files);
  }

  /**
   * Selects from all files of a repository: safetensors, else the GGUF file.
   *
   * @throws HubException when there is nothing that can be loaded, or a choice has to be made
   */
  static FileSelection of(HubModelId model, List<String> all) {
    if (model.file() != null) {
      if (!all.contains(model.file())) {
        throw new HubException(
            model
                + ": the repository has no file "
                + model.file()
                + "; its GGUF files are "
                + matching(all, GGUF)
                + ".");
      }
      return new FileSelection(List.of(model.file()), model.file());
    }
    List<String> files = new ArrayList<>(all);
    files.removeIf(name -> !DESCRIPTIONS.contains(name));
    if (all.contains(SINGLE)) {
      files.add(SINGLE);
    } else if (all.contains(INDEX)) {
      files.add(INDEX);
      files.addAll(matching(all, SHARD));
    } else {
      String gguf = onlyGguf(model, all);
      return new FileSelection(List.of(gguf), gguf);
    }
    return new FileSelection(files, null);
  }

  private static String onlyGguf(HubModelId model, List<String> all) {
    List<String> ggufs = matching(all, GGUF);
    if (ggufs.size() == 1) {
      return ggufs.get(0);
    }
    if (ggufs.size() > 1) {
      throw new HubException(
          model
              + ": the repository has several GGUF files: "
              + String.join(", ", ggufs)
              + ". Name one of them, for example "
              + model.repository()
              + "/"
              + ggufs.get(0)
              + ".");
    }
    List<String> pickles = matching(all, PICKLE);
    if (!pickles.isEmpty()) {
      throw new HubException(
          model
              + ": the weights are only there as "
              + String.join(", ", pickles)
              + ". Such files are not loaded, because opening one can run any code in it. Look for a"
              + " version with "
              + SINGLE
              + ", or convert the model.");
    }
    throw new HubException(
        model
            + ": the repository holds no weights, neither safetensors nor GGUF, but "
            + all
            + ".");
  }

  private static List<String> matching(List<String> all, Pattern pattern) {
    return all.stream().filter(name -> pattern.matcher(name).matches()).sorted().toList();
  }
}
