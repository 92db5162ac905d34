package dev.kvshare.cli.command;

import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Finds what is shipped beside the program. */
final class Installation {
  private static final String BUILT_IN_MODEL = "models/builtin";

  private Installation() {}

  /** The model that commands use without {@code --model}. */
  static Path builtInModel() {
    Path model = home().resolve(BUILT_IN_MODEL);
    if (!Files.isRegularFile(model.resolve("config.json"))) {
      throw new CommandException(
          "the built-in model is missing: "
              + model
              + " has no config.json. Give another model with --model, or restore that folder from the repository.");
    }
    return model;
  }

  /** The launcher's folder; without the launcher, the first one above the classes with models. */
  private static Path home() {
    String home = System.getProperty("kvshare.home");
    if (home != null) {
      return Path.of(home);
    }
    Path classes = classes();
    for (Path folder = classes; folder != null; folder = folder.getParent()) {
      if (Files.isDirectory(folder.resolve(BUILT_IN_MODEL))) {
        return folder;
      }
    }
    return classes;
  }

  private static Path classes() {
    try {
      return Path.of(
          Installation.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    } catch (URISyntaxException e) {
      throw new CommandException(
          "the folder of the program cannot be told. Start it with ./kvshare, or name a model with --model.");
    }
  }
}
