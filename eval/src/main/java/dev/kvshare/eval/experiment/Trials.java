package dev.kvshare.eval.experiment;

import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.plan.schemes.Configuration;
import dev.kvshare.apply.plan.schemes.Configuration.Partition;
import dev.kvshare.apply.plan.schemes.Configuration.Position;
import dev.kvshare.apply.plan.schemes.Scheme;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.calibrate.Calibration;
import dev.kvshare.calibrate.CalibrationText;
import dev.kvshare.calibrate.Keep;
import dev.kvshare.calibrate.capture.CalibrationListener;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.eval.experiment.Experiment.Trial;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;

/** Lists of plans to try. */
public final class Trials {
  /** What everybody who reads a table of {@link #schemes} has to know. */
  public static final String POST_HOC =
      "Post-hoc sharing: the model was not trained under these maps. Models trained under them lose far less; in arXiv 2410.14442 most configurations stay close to the unshared model at a 2x reduction.";

  /** The schemes with names of their own that are measured beside the nine configurations. */
  private static final List<String> NAMED =
      List.of("cla-2", "cla-3", "yoco", "mixattention", "lckv");

  /** The methods that are compared. */
  private static final List<String> METHODS =
      List.of("kvsharer", "similar", "random", "share", "windows", "auto");

  private static final String RANDOM = "random";
  private static final int RANDOM_SEEDS = 5;

  private Trials() {}

  /**
   * The nine configurations of "A Systematic Study of Cross-Layer KV Sharing" (arXiv 2410.14442,
   * table 2) at several reductions of the KV cache, as in the paper, and the schemes that have
   * names of their own, with the numbers of their papers.
   *
   * @param reductions by how many times the KV cache is to shrink; the number of layers with a
   *     cache is rounded
   * @param window tokens that layers with a sliding window see
   */
  public static List<Trial> schemes(ModelIdentity model, List<Integer> reductions, int window) {
    UpwardReading upward = UpwardReading.LCKV_DEFAULT;
    List<Trial> trials = new ArrayList<>();
    for (int reduction : reductions) {
      int kept = Math.max(1, (int) Math.round((double) model.layers() / reduction));
      for (Partition partition : Partition.values()) {
        for (Position position : Position.values()) {
          Configuration configuration = Configuration.of(partition, position, kept);
          Plan plan = configuration.layerTypes(model.layers()).plan(0, upward, false);
          trials.add(scheme(model, plan, reduction + "x " + configuration.name()));
        }
      }
    }
    for (String name : NAMED) {
      Plan plan =
          Scheme.of(name, null, null).layerTypes(model.layers()).plan(window, upward, false);
      String windowed = plan.windowedLayers().isEmpty() ? "" : ", window " + window;
      trials.add(scheme(model, plan, name + windowed));
    }
    return trials;
  }

  private static Trial scheme(ModelIdentity model, Plan plan, String name) {
    String title = "%s, %d KV layers".formatted(name, plan.map().ownedLayers());
    return new Trial(title, name, plan.reducedLayers(), () -> Policy.of(model, plan));
  }

  /**
   * What the methods of calibration find, of {@code random} with five seeds; nothing is repaired.
   *
   * @param calibration what the searches read; its samples are captured once
   * @param sizes numbers of layers to share, or to window
   */
  public static List<Trial> methods(
      LoadedModel model, Corpus calibration, List<Integer> sizes, CalibrationListener listener) {
    CalibrationText passages = new CalibrationText(model);
    Supplier<Calibration> start =
        () -> Calibration.of(model).text(calibration).passages(passages).listener(listener);
    AtomicReference<KvStatistics> captured = new AtomicReference<>();
    List<Trial> trials = new ArrayList<>();
    for (int size : sizes) {
      for (String method : METHODS) {
        boolean random = method.equals(RANDOM);
        for (int number = 0; number < (random ? RANDOM_SEEDS : 1); number++) {
          int seed = number;
          String name = "%s%s-%d".formatted(method, random ? seed : "", size);
          Supplier<Policy> search =
              () -> {
                if (captured.get() == null) {
                  captured.set(start.get().capture());
                }
                Calibration calibrating = start.get().statistics(captured.get());
                return calibrating
                    .method(method)
                    .seed(seed)
                    .keep(keep(method, size, model.decoder().spec().layers()))
                    .repair(null)
                    .run()
                    .policy();
              };
          trials.add(new Trial(name, method, size, search));
        }
      }
    }
    return trials;
  }

  /** As much as leaves so many layers reduced; {@code auto} shares or windows them. */
  private static Keep keep(String method, int size, int layers) {
    return switch (method) {
      case "windows" -> new Keep.WindowedLayers(size);
      case "auto" -> new Keep.KeptLayers(layers - size);
      default -> new Keep.SharedLayers(size);
    };
  }
}
