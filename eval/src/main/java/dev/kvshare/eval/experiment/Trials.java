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

/** Lists of plans to try. */
public final class Trials {
  /** What everybody who reads a table of {@link #schemes} has to know. */
  public static final String POST_HOC =
      "Post-hoc sharing: the model was not trained under these maps. Models trained under them lose"
          + " far less; in arXiv 2410.14442 most configurations stay close to the unshared model at a"
          + " 2x reduction.";

  /** The schemes with names of their own that are measured beside the nine configurations. */
  private static final List<String> NAMED =
      List.of("cla-2", "cla-3", "yoco", "mixattention", "lckv");

  /** The methods that are compared. */
  private static final List<String> METHODS =
      List.of("kvsharer", "similar", "random", "auto", "windows");

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
   * What every method of calibration finds: the papers' order, its reverse, five random ones, the
   * best of all searches, and windows in place of sharing.
   *
   * @param calibration what the searches read
   * @param sizes numbers of layers to share, or to window
   */
  public static List<Trial> methods(
      LoadedModel model, Corpus calibration, List<Integer> sizes, CalibrationListener listener) {
    Search search = new Search(model, calibration, listener);
    List<Trial> trials = new ArrayList<>();
    for (int size : sizes) {
      for (String method : METHODS) {
        boolean random = method.equals(RANDOM);
        for (int seed = 0; seed < (random ? RANDOM_SEEDS : 1); seed++) {
          int number = seed;
          trials.add(
              new Trial(
                  "%s%s-%d".formatted(method, random ? seed : "", size),
                  method,
                  size,
                  () -> search.run(method, number, size)));
        }
      }
    }
    return trials;
  }

  /** Searches of one model on one text, whose statistics are captured once. */
  private static final class Search {
    private final LoadedModel model;
    private final Corpus text;
    private final CalibrationListener listener;
    private final CalibrationText passages;
    private KvStatistics statistics;

    Search(LoadedModel model, Corpus text, CalibrationListener listener) {
      this.model = model;
      this.text = text;
      this.listener = listener;
      this.passages = new CalibrationText(model);
    }

    Policy run(String method, int seed, int size) {
      if (statistics == null) {
        statistics = calibration().capture();
      }
      return calibration()
          .statistics(statistics)
          .passages(passages)
          .method(method)
          .seed(seed)
          .keep(
              method.equals("windows")
                  ? new Keep.WindowedLayers(size)
                  : new Keep.SharedLayers(size))
          .repair(null)
          .run()
          .policy();
    }

    private Calibration calibration() {
      return Calibration.of(model).text(text).listener(listener);
    }
  }
}
