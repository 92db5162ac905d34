package dev.kvshare.eval.speed;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.decoder.script.PyTorchRuntime;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.generate.ProcessMemory;
import dev.kvshare.apply.model.MemorySize;
import dev.kvshare.eval.format.Table;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.quality.Journal;
import dev.kvshare.eval.quality.QualityMeter;
import dev.kvshare.eval.quality.Variant;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * Measures prefill, decoding and the KV cache at several lengths of text. Each variant is measured
 * beside the unshared model, and no more than these two have caches at a time. They take turns,
 * prompt by prompt and token by token, so that a disturbance of the machine meets both.
 *
 * <ol>
 *   <li>A prompt is read by both, in as many rounds as are done soon, at least once.
 *   <li>For each number of sequences the cache of the prompt is copied to as many rows, which begin
 *       with different tokens, and tokens are decoded. Each round begins with a new copy, so that
 *       all rounds end at the same length of text: the context.
 *   <li>The same for as many sequences as the bytes that were found for one let into a budget.
 * </ol>
 *
 * <p>Where one thread on the CPU computes, its processor time counts: the same on an idle machine,
 * and what other programs take of a busy one does not belong to it.
 *
 * <p>Token t of the prompt is {@code (7919 t + 13) mod V}: text does not change the time.
 */
public final class ContextMeter {
  /** The phase that a listener hears of; its steps are tokens. */
  public static final String PHASE = "speed by context";

  /** Tokens that are decoded before the clock starts. */
  private static final int UNCOUNTED = 2;

  /** Prompts are read again as long as the rounds take no longer than this. */
  private static final double PREFILL_SECONDS = 20;

  private static final int PREFILL_CHUNK = 512;
  private static final double NANOSECONDS = 1e9;
  private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
  private static final ObjectMapper JSON = new ObjectMapper();

  private final LoadedModel model;
  private final Decoder decoder;
  private final Settings settings;
  private final QualityMeter.Listener listener;
  private final long memory;
  private int done;
  private int total;
  private final boolean oneThread;
  private boolean warm;

  /**
   * What is measured.
   *
   * @param contexts lengths of text in tokens, ascending; empty for the usual ones that model and
   *     memory allow
   * @param batches numbers of sequences, to which 1 is added; those that do not fit are left out
   * @param budgetBytes of the KV caches of all sequences; 0 for those of {@link #SEQUENCES} of the
   *     unshared model
   * @param memoryBytes that all caches may take while measuring; 0 for half of the memory at hand
   * @param newTokens tokens decoded in a round
   * @param rounds repetitions; the median over their prompts, or over their tokens, counts
   */
  public record Settings(
      List<Integer> contexts,
      List<Integer> batches,
      long budgetBytes,
      long memoryBytes,
      int newTokens,
      int rounds) {
    /** The usual contexts. */
    public static final List<Integer> CONTEXTS = List.of(512, 1024, 2048, 4096, 8192, 16384);

    /** The usual numbers of sequences. */
    public static final List<Integer> BATCHES = List.of(1, 4, 16);

    /** Sequences of the unshared model that the usual budget holds. */
    public static final int SEQUENCES = 4;

    /** What is usual throughout: 16 new tokens, three rounds. */
    public static final Settings DEFAULT = new Settings(List.of(), BATCHES, 0, 0, 16, 3);

    public Settings {
      contexts = contexts.stream().sorted().distinct().toList();
      batches = Stream.concat(Stream.of(1), batches.stream()).sorted().distinct().toList();
      if (batches.get(0) < 1 || newTokens < 1 || rounds < 1) {
        throw new IllegalArgumentException(
            "sequences, new tokens and rounds must be at least 1, found %s, %d and %d"
                .formatted(batches, newTokens, rounds));
      }
    }

    /** Tokens of a context that are decoded, and not part of the prompt. */
    int decoded() {
      return UNCOUNTED + newTokens;
    }

    /** The contexts at which a budget is filled: those of 4,096 to 8,192 tokens, else the last. */
    static List<Integer> budgetContexts(List<Integer> contexts) {
      List<Integer> within = contexts.stream().filter(c -> c >= 4096 && c <= 8192).toList();
      return within.isEmpty() ? contexts.subList(contexts.size() - 1, contexts.size()) : within;
    }

    /** How many sequences of so many bytes each a budget holds. */
    static int[] sequences(long budget, long... bytes) {
      return Arrays.stream(bytes).mapToInt(one -> Math.toIntExact(budget / one)).toArray();
    }
  }

  /**
   * A variant beside the unshared model at one context.
   *
   * @param policy what the variant is called
   * @param promptTokens tokens of the context that are the prompt
   * @param sides the unshared model, then the variant
   */
  record Turns(String policy, int context, int promptTokens, List<Side> sides, List<Step> steps) {
    Side own() {
      return sides.get(sides.size() - 1);
    }
  }

  /**
   * One of them with one sequence.
   *
   * @param prefillSeconds median over the runs
   * @param prefillRuns how often the prompt was read
   * @param kvBytes of the cache at the end of the context, as allocated
   * @param mostBytes the most that there were at once of keys and values while the prompt was read
   */
  record Side(double prefillSeconds, int prefillRuns, long kvBytes, long mostBytes) {}

  /**
   * Decoding.
   *
   * @param budget whether the numbers of sequences are those that a budget holds
   * @param sides as those of the turns
   */
  record Step(boolean budget, List<Decoded> sides) {
    int own() {
      return sides.size() - 1;
    }
  }

  /**
   * What one side decoded.
   *
   * @param sequences at once
   * @param seconds of a token of all of them: median over the tokens of all rounds
   * @param kvBytes of all of them at the end, as allocated
   */
  record Decoded(int sequences, double seconds, long kvBytes) {
    double tokensPerSecond() {
      return sequences / seconds;
    }
  }

  public ContextMeter(LoadedModel model, Settings settings, QualityMeter.Listener listener) {
    this.model = model;
    this.decoder = model.decoder();
    this.settings = settings;
    this.listener = listener;
    this.memory =
        settings.memoryBytes() > 0
            ? settings.memoryBytes()
            : ProcessMemory.availableBytes().orElse(Long.MAX_VALUE) / 2;
    this.oneThread =
        PyTorchRuntime.threads() == 1
            && model.key(null).device().equals("cpu")
            && THREADS.isCurrentThreadCpuTimeSupported();
  }

  /** What a journal depends on: contexts and numbers of sequences may be added later. */
  public ObjectNode key() {
    return JSON.createObjectNode()
        .put("new_tokens", settings.newTokens())
        .put("rounds", settings.rounds())
        .put("clock", oneThread ? "processor" : "wall");
  }

  /**
   * Measures each variant at each context, shortest first.
   *
   * @param variants the unshared model first
   * @param journal keeps each variant at each context
   * @param run what is needed to measure it again
   * @throws EvaluationException if a context or the budget fits neither model nor memory
   */
  public ContextReport measure(List<Variant> variants, Journal journal, ObjectNode run) {
    List<Integer> contexts = contexts();
    List<Integer> budgets = Settings.budgetContexts(contexts);
    List<Variant> measured = variants.size() == 1 ? variants : variants.subList(1, variants.size());
    List<Turns> turns = new ArrayList<>();
    List<String> notes = new ArrayList<>();
    done = 0;
    total = 0;
    for (int context : contexts) {
      int pieces = 1 + batches(context).size() + (budgets.contains(context) ? 1 : 0);
      total += context * pieces * measured.size();
    }
    listener.onProgress(PHASE, 0, total);
    for (int context : contexts) {
      List<Integer> batches = batches(context);
      long budget = budgets.contains(context) ? budget(context) : 0;
      if (batches.size() < settings.batches().size()) {
        notes.add(
            Table.format(
                "%,d tokens: %s sequences at once were left out, whose caches do not fit into %s of memory.",
                context,
                settings.batches().subList(batches.size(), settings.batches().size()),
                MemorySize.text(memory)));
      }
      for (Variant variant : measured) {
        List<Variant> sides = variants.size() == 1 ? variants : List.of(variants.get(0), variant);
        int before = done;
        String name =
            "%s at %d tokens, sequences %s, budget %d"
                .formatted(variant.title(), context, batches, budget);
        JsonNode kept = journal.get(name, () -> turns(context, sides, batches, budget));
        turns.add(JSON.convertValue(kept, Turns.class));
        done = before + context * (1 + batches.size() + (budgets.contains(context) ? 1 : 0));
        listener.onProgress(PHASE, done, total);
      }
    }
    ObjectNode asked = run.withObject("speed_by_context");
    contexts.forEach(asked.putArray("contexts")::add);
    settings.batches().forEach(asked.putArray("sequences")::add);
    asked.put("budget_bytes", settings.budgetBytes());
    return new ContextReport(turns, run, notes);
  }

  /** The contexts that are measured. */
  private List<Integer> contexts() {
    int most = decoder.spec().maxPositions();
    int least = settings.decoded() + 1;
    if (settings.contexts().isEmpty()) {
      List<Integer> fitting =
          Settings.CONTEXTS.stream().filter(c -> c >= least && c <= most && fits(c, 1)).toList();
      return fitting.isEmpty() ? checked(List.of(most), least, most) : fitting;
    }
    return checked(settings.contexts(), least, most);
  }

  private List<Integer> checked(List<Integer> contexts, int least, int most) {
    int longest = contexts.get(contexts.size() - 1);
    if (longest > most) {
      throw new EvaluationException(
          "A context of %d tokens is longer than the %d positions that the model was made for. Use --speed-context with at most %d."
              .formatted(longest, most, most));
    }
    if (contexts.get(0) < least) {
      throw new EvaluationException(
          "A context of %d tokens is too short: its last %d are decoded, behind a prompt of at least one. Use --speed-context with at least %d, or fewer --new-tokens."
              .formatted(contexts.get(0), settings.decoded(), least));
    }
    if (!fits(longest, 1)) {
      throw new EvaluationException(
          "The caches of one sequence of %d tokens take %s while they are measured, and there are %s for them. Use a shorter --speed-context, or --dtype bfloat16."
              .formatted(longest, MemorySize.text(needed(longest, 1)), MemorySize.text(memory)));
    }
    return contexts;
  }

  private List<Integer> batches(int context) {
    return settings.batches().stream().filter(batch -> fits(context, batch)).toList();
  }

  private boolean fits(int context, int batch) {
    return needed(context, batch) <= memory;
  }

  /** Two caches of the prompt, and their copies. */
  private long needed(int context, int batch) {
    return 2 * unsharedBytes(context) * (1 + batch);
  }

  private long unsharedBytes(int context) {
    int bytes = model.key(null).computeType().bytes();
    return decoder.spec().kvUse(decoder.spec().plan()).unsharedBytes(context, bytes);
  }

  private long budget(int context) {
    long one = unsharedBytes(context);
    long budget = settings.budgetBytes() == 0 ? Settings.SEQUENCES * one : settings.budgetBytes();
    long most = memory / 2 - one;
    if (budget > most && settings.budgetBytes() > 0) {
      throw new EvaluationException(
          "A KV budget of %s and the caches that are copied into it do not fit into %s. Use --speed-budget with at most %s, or shorter contexts."
              .formatted(MemorySize.text(budget), MemorySize.text(memory), MemorySize.text(most)));
    }
    if (budget < one) {
      throw new EvaluationException(
          "A KV budget of %s does not hold one sequence of %d tokens of the unshared model, which takes %s. Use a larger --speed-budget or a shorter --speed-context."
              .formatted(MemorySize.text(budget), context, MemorySize.text(one)));
    }
    return Math.min(budget, most / one * one);
  }

  private Turns turns(int context, List<Variant> sides, List<Integer> batches, long budget) {
    int tokens = context - settings.decoded();
    PromptBatch prompt = prompt(tokens);
    if (!warm) {
      warm = true;
      for (Variant variant : sides) {
        try (DecodingCache cache = newCache(variant, 64)) {
          SpeedMeter.decode(
              decoder, SpeedMeter.prefill(decoder, prompt(Math.min(32, tokens)), cache), cache, 2);
        }
      }
    }
    DecodingCache[] caches = new DecodingCache[sides.size()];
    try {
      double[][] prefill = new double[sides.size()][settings.rounds()];
      int runs = settings.rounds();
      for (int run = 0; run < runs; run++) {
        for (int side = 0; side < caches.length; side++) {
          close(caches[side]);
          Variant variant = sides.get(side);
          caches[side] = newCache(variant, context);
          long start = now();
          decoder.prefill(prompt, caches[side], PREFILL_CHUNK).close();
          prefill[side][run] = (now() - start) / NANOSECONDS;
        }
        double took = Arrays.stream(prefill).mapToDouble(seconds -> seconds[0]).sum();
        runs = Math.max(1, Math.min(runs, (int) (PREFILL_SECONDS / took)));
      }
      progress(context);
      List<Step> steps = new ArrayList<>();
      for (int batch : batches) {
        int[] sequences = new int[caches.length];
        Arrays.fill(sequences, batch);
        steps.add(decode(caches, false, sequences));
        progress(context);
      }
      long[] bytes = steps.get(0).sides().stream().mapToLong(Decoded::kvBytes).toArray();
      if (budget > 0) {
        steps.add(decode(caches, true, Settings.sequences(budget, bytes)));
      }
      List<Side> found = new ArrayList<>();
      for (int side = 0; side < caches.length; side++) {
        double[] seconds = Arrays.copyOf(prefill[side], runs);
        found.add(
            new Side(SpeedMeter.median(seconds), runs, bytes[side], caches[side].mostBytes()));
      }
      return new Turns(sides.get(sides.size() - 1).title(), context, tokens, found, steps);
    } finally {
      Arrays.stream(caches).forEach(ContextMeter::close);
    }
  }

  private PromptBatch prompt(int tokens) {
    int vocabulary = decoder.spec().vocabularySize();
    return PromptBatch.of(
        IntStream.range(0, tokens).map(t -> (int) ((7919L * t + 13) % vocabulary)).toArray());
  }

  private DecodingCache newCache(Variant variant, int tokens) {
    return decoder.newCache(variant.options(), variant.cachePolicy(), 1, tokens);
  }

  private Step decode(DecodingCache[] prompts, boolean budget, int[] sequences) {
    int vocabulary = decoder.spec().vocabularySize();
    double[][] seconds = new double[prompts.length][settings.rounds() * settings.newTokens()];
    long[] bytes = new long[prompts.length];
    for (int round = 0; round < settings.rounds(); round++) {
      DecodingCache[] copies = new DecodingCache[prompts.length];
      try {
        for (int side = 0; side < copies.length; side++) {
          copies[side] = prompts[side].copy(new int[sequences[side]]);
        }
        for (int token = -UNCOUNTED; token < settings.newTokens(); token++) {
          for (int side = 0; side < copies.length; side++) {
            long[] ids =
                LongStream.range(0, sequences[side])
                    .map(row -> 104729 * row % vocabulary)
                    .toArray();
            long start = now();
            SpeedMeter.decode(decoder, ids, copies[side], 1);
            if (token >= 0) {
              seconds[side][round * settings.newTokens() + token] = (now() - start) / NANOSECONDS;
            }
          }
        }
        Arrays.setAll(bytes, side -> copies[side].bytes());
      } finally {
        Arrays.stream(copies).forEach(ContextMeter::close);
      }
    }
    return new Step(
        budget,
        IntStream.range(0, sequences.length)
            .mapToObj(i -> new Decoded(sequences[i], SpeedMeter.median(seconds[i]), bytes[i]))
            .toList());
  }

  private long now() {
    return oneThread ? THREADS.getCurrentThreadCpuTime() : System.nanoTime();
  }

  private void progress(int tokens) {
    done += tokens;
    listener.onProgress(PHASE, done, total);
  }

  private static void close(DecodingCache cache) {
    if (cache != null) {
      cache.close();
    }
  }
}
