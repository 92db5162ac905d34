package dev.kvshare.apply.model.checkpoint;

import dev.kvshare.apply.model.CheckpointException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The small model that is shipped beside the program. */
public final class BuiltInModel {
  private static final String FOLDER = "models/builtin";

  private BuiltInModel() {}

  /**
   * Its directory: below the folder that the system property {@code kvshare.home} names, else below
   * the first folder above these classes that has it.
   *
   * @throws CheckpointException if it is missing
   */
  public static Path directory() {
    Path model = home().resolve(FOLDER);
    if (!Files.isRegularFile(model.resolve("config.json"))) {
      throw new CheckpointException(
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
      if (Files.isDirectory(folder.resolve(FOLDER))) {
        return folder;
      }
    }
    return classes;
  }

  private static Path classes() {
    try {
      return Path.of(
          BuiltInModel.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    } catch (URISyntaxException e) {
      throw new CheckpointException(
          "the folder of the program cannot be told. Start it with ./kvshare, or name a model with --model.");
    }
  }
}
