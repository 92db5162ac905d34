package dev.kvshare.cli.print;

import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.generate.LoadedModel;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.text.DecimalFormat;
import java.text.DecimalFormatSymbols;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import me.tongfei.progressbar.DelegatingProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/**
 * A progress bar on the last line of a terminal: done, rate, remaining time and a remark. It leaves
 * nothing behind. Where standard error is no terminal, a line every half minute says the same.
 */
public final class ProgressLine implements AutoCloseable {
  private static final int UPDATE_MILLIS = 200;
  private static final long LINE_NANOS = TimeUnit.SECONDS.toNanos(30);

  private final Output output;
  private final LongSupplier nanos;
  private ProgressBar bar;
  private String task;
  private long told;
  private long begun;
  private long doneBefore;

  public ProgressLine(Output output) {
    this(output, System::nanoTime);
  }

  ProgressLine(Output output, LongSupplier nanos) {
    this.output = output;
    this.nanos = nanos;
    this.told = nanos.getAsLong();
  }

  /**
   * Shows how far a task is; another task than before begins a new bar.
   *
   * @param remark shown behind the bar, such as the best result so far
   */
  public void show(String name, long done, long total, String remark) {
    if (!output.showsProgress()) {
      tell(name, done, total, remark);
      return;
    }
    if (!name.equals(task)) {
      close();
      bar = begin(name, total);
      task = name;
    }
    bar.setExtraMessage(" " + remark);
    bar.stepTo(done);
  }

  private void tell(String name, long done, long total, String remark) {
    long now = nanos.getAsLong();
    if (!name.equals(task)) {
      task = name;
      begun = now;
      doneBefore = done;
    }
    if (now - told < LINE_NANOS) {
      return;
    }
    told = now;
    String left = "";
    if (done > doneBefore) {
      long seconds =
          TimeUnit.NANOSECONDS.toSeconds((now - begun) / (done - doneBefore) * (total - done));
      left = ", about %d:%02d left".formatted(seconds / 60, seconds % 60);
    }
    String end = remark.isEmpty() ? "" : ", " + remark;
    output.note("%s: %,d of %,d%s%s".formatted(name, done, total, left, end));
  }

  /** Loads a model, and says so meanwhile. */
  public static LoadedModel load(Path model, DecoderOptions options, Output output) {
    return whileLoading(model, output, () -> LoadedModel.open(model, options));
  }

  /** Says that a model is loading for as long as it is. */
  public static <T> T whileLoading(Path model, Output output, Supplier<T> load) {
    if (!output.showsProgress()) {
      return load.get();
    }
    output.progress().print("loading " + model.toAbsolutePath().normalize().getFileName());
    output.progress().flush();
    try {
      return load.get();
    } finally {
      clear(output);
    }
  }

  private ProgressBar begin(String name, long total) {
    PrintWriter err = output.progress();
    int columns = output.columns() - 1;
    return new ProgressBarBuilder()
        .setTaskName(name)
        .setInitialMax(total)
        .setStyle(ProgressBarStyle.ASCII)
        .setUpdateIntervalMillis(UPDATE_MILLIS)
        .showSpeed(new DecimalFormat("0.0", DecimalFormatSymbols.getInstance(Locale.ROOT)))
        .setConsumer(
            new DelegatingProgressBarConsumer(
                line -> {
                  err.print("\r" + line);
                  err.flush();
                },
                columns))
        .build();
  }

  /** Ends the bar, and says something about what is going on. */
  public void note(String line) {
    close();
    output.note(line);
  }

  /** Ends the bar and clears its line. */
  @Override
  public void close() {
    if (bar != null) {
      bar.close();
      bar = null;
      task = null;
      clear(output);
    }
  }

  private static void clear(Output output) {
    output.progress().print("\r" + " ".repeat(output.columns() - 1) + "\r");
    output.progress().flush();
  }
}
