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
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.calibrate.CalibrationListener;
import dev.kvshare.calibrate.CalibrationSettings;
import dev.kvshare.calibrate.Calibrator;
import dev.kvshare.calibrate.KvBudget;
import dev.kvshare.calibrate.LayerWindow;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.search.AutoStrategy;
import dev.kvshare.calibrate.search.SearchStrategy;
import dev.kvshare.datasets.CalibrationSampler;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Passages;
import dev.kvshare.eval.experiment.Experiment.Trial;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

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

  /** The methods that are compared, and the names of their searches. */
  private static final Map<String, String> METHODS = new LinkedHashMap<>();

  private static final String RANDOM = "random";
  private static final int RANDOM_SEEDS = 5;
  private static final int SAMPLES = 30;
  private static final int SAMPLE_TOKENS = 64;
  private static final int SEARCH_TOKENS = 100_000;

  static {
    METHODS.put("kvsharer", "dissimilar");
    METHODS.put("similar", "similar");
    METHODS.put(RANDOM, RANDOM);
    METHODS.put(AutoStrategy.NAME, AutoStrategy.NAME);
    METHODS.put(AutoStrategy.WINDOWS, AutoStrategy.NAME);
  }

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
      for (String method : METHODS.keySet()) {
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
    private final Calibrator calibrator;
    private KvStatistics statistics;

    Search(LoadedModel model, Corpus text, CalibrationListener listener) {
      this.model = model;
      this.text = text;
      this.listener = listener;
      this.calibrator = new Calibrator(model.decoder(), model.identity());
    }

    Policy run(String method, int seed, int size) {
      if (statistics == null) {
        Passages samples =
            new CalibrationSampler(SAMPLES, SAMPLE_TOKENS).sample(text, model::encode);
        statistics =
            calibrator.capture(
                new DatasetReference(samples.name(), samples.sha256()),
                samples.passages(),
                listener);
      }
      boolean windows = method.equals(AutoStrategy.WINDOWS);
      CalibrationSettings settings =
          CalibrationSettings.builder()
              .seed(seed)
              .strategy(SearchStrategy.of(METHODS.get(method), seed, false))
              .window(windows ? LayerWindow.DEFAULT : null)
              .budget(windows ? new KvBudget.WindowedLayers(size) : new KvBudget.SharedLayers(size))
              .text(Experiment.repairPassages(model, text, SEARCH_TOKENS, windows))
              .build();
      return calibrator.search(statistics, settings, listener).policy();
    }
  }
}
