package dev.kvshare.eval.format;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/**
 * A picture of measured numbers.
 *
 * @param title what it shows
 * @param note how to read it, one or two sentences
 * @param kind how the points are drawn
 * @param x what goes to the right
 * @param y what goes up; of bars it names what they belong to
 * @param series in the order of the rows
 */
public record Chart(String title, String note, Kind kind, String x, String y, List<Series> series) {

  /** How points are drawn. */
  public enum Kind {
    /** A mark a series. */
    POINTS,
    /** A line through the points of each series. */
    LINES,
    /** The same over numbers above 0, of which each that doubles is equally far away. */
    CURVES,
    /** A bar a series, as long as {@code x} of its point. */
    BARS
  }

  /** Points under one name. */
  public record Series(String name, List<Point> points) {}

  /**
   * A measured point.
   *
   * @param error standard error of {@code y}, of a bar that of {@code x}; 0 for none
   */
  public record Point(double x, double y, double error) {
    boolean known() {
      return Double.isFinite(x) && Double.isFinite(y);
    }
  }

  /** A bar, or a series of one point. */
  public static Series bar(String name, double value, double error) {
    return new Series(name, List.of(new Point(value, 0, error)));
  }

  /** The numbers of the picture, its head first. */
  List<List<String>> table() {
    boolean bars = kind == Kind.BARS;
    List<List<String>> cells = new ArrayList<>();
    cells.add(bars ? List.of(y, x) : List.of("", x, y));
    for (Series each : series) {
      for (Point point : each.points()) {
        String value = bars ? Table.number(point.x()) : Table.number(point.y());
        String measured = point.error() > 0 ? value + " ± " + Table.number(point.error()) : value;
        cells.add(
            bars
                ? List.of(each.name(), measured)
                : List.of(each.name(), Table.number(point.x()), measured));
      }
    }
    return cells;
  }

  /**
   * The picture in units of an SVG.
   *
   * @param ticks numbers along the axis to the right
   * @param levels numbers along the axis upwards, none for bars
   */
  record Drawing(int width, int height, List<Tick> ticks, List<Tick> levels, List<Mark> marks) {}

  /** A number on an axis. */
  record Tick(double at, String label) {}

  /**
   * What stands for a series.
   *
   * @param path SVG path data of its line, bar or error bars
   * @param dots places of its points
   */
  record Mark(int number, String name, String path, List<Dot> dots) {}

  /** The place of a point and its numbers in words. */
  record Dot(double x, double y, String title) {}

  static final int WIDTH = 440;
  static final int LEFT = 52;
  static final int RIGHT = WIDTH - 14;
  private static final int TOP = 12;
  private static final int PLOT = 230;
  private static final int BAR = 40;

  /** Characters that fit beside each other. */
  private static final int LINE = 58;

  Drawing drawing() {
    Axis across =
        kind == Kind.CURVES
            ? doublings()
            : axis(Point::x, kind == Kind.BARS ? Point::error : point -> 0, LEFT, RIGHT);
    if (kind == Kind.BARS) {
      Axis bars = new Axis(across.least, across.most, 6, RIGHT);
      List<Mark> marks = IntStream.range(0, series.size()).mapToObj(i -> barMark(i, bars)).toList();
      int height = TOP + BAR * series.size() + 34;
      return new Drawing(WIDTH, height, bars.ticks(5), List.of(), marks);
    }
    Axis up = axis(Point::y, Point::error, TOP + PLOT, TOP);
    List<Mark> marks =
        IntStream.range(0, series.size()).mapToObj(i -> mark(i, across, up)).toList();
    List<Tick> ticks = kind == Kind.CURVES ? measured(across) : across.ticks(6);
    return new Drawing(WIDTH, TOP + PLOT + 44, ticks, up.ticks(5), marks);
  }

  private Axis doublings() {
    DoubleSummaryStatistics ends =
        series.stream()
            .flatMap(each -> each.points().stream())
            .mapToDouble(point -> log2(point.x()))
            .summaryStatistics();
    double margin = 0.05 * Math.max(1, ends.getMax() - ends.getMin());
    return new Axis(ends.getMin() - margin, ends.getMax() + margin, LEFT, RIGHT);
  }

  private List<Tick> measured(Axis across) {
    return series.stream()
        .flatMap(each -> each.points().stream())
        .map(Point::x)
        .distinct()
        .sorted()
        .map(x -> new Tick(across.place(log2(x)), Axis.label(x)))
        .toList();
  }

  private static double log2(double number) {
    return Math.log(number) / Math.log(2);
  }

  private Mark barMark(int number, Axis across) {
    Series each = series.get(number);
    Point point = each.points().get(0);
    double y = TOP + BAR * number + 27;
    if (!point.known()) {
      return new Mark(number, each.name() + ": not known", "", List.of());
    }
    double start = across.place(Math.max(0, across.least));
    String path =
        Table.format("M%.1f %.1f H%.1f v-9 H%.1f z", start, y + 5, across.place(point.x()), start);
    String value = ": " + table().get(number + 1).get(1);
    return new Mark(number, end(each.name(), LINE - value.length()) + value, path, List.of());
  }

  /** The end of a name that is too long for its line: paths differ there. */
  private static String end(String name, int length) {
    return name.length() <= length ? name : "…" + name.substring(name.length() - length + 1);
  }

  private Mark mark(int number, Axis across, Axis up) {
    Series each = series.get(number);
    StringBuilder path = new StringBuilder();
    List<Dot> dots = new ArrayList<>();
    for (Point point : each.points().stream().filter(Point::known).toList()) {
      double x = across.place(kind == Kind.CURVES ? log2(point.x()) : point.x());
      double y = up.place(point.y());
      if (kind != Kind.POINTS) {
        path.append(Table.format("%s%.1f %.1f ", dots.isEmpty() ? "M" : "L", x, y));
      } else if (point.error() > 0) {
        double low = up.place(point.y() - point.error());
        path.append(Table.format("M%.1f %.1f V%.1f ", x, low, up.place(point.y() + point.error())));
      }
      String title =
          "%s: %s %s, %s %s"
              .formatted(each.name(), this.x, Axis.label(point.x()), this.y, Axis.label(point.y()));
      dots.add(new Dot(x, y, title));
    }
    return new Mark(number, each.name(), path.toString(), dots);
  }

  private Axis axis(
      ToDoubleFunction<Point> value, ToDoubleFunction<Point> error, double from, double to) {
    List<Point> points =
        series.stream().flatMap(each -> each.points().stream()).filter(Point::known).toList();
    double least =
        points.stream()
            .mapToDouble(p -> value.applyAsDouble(p) - error.applyAsDouble(p))
            .min()
            .orElse(0);
    double most =
        points.stream()
            .mapToDouble(p -> value.applyAsDouble(p) + error.applyAsDouble(p))
            .max()
            .orElse(1);
    // Zero belongs to the picture unless that would press the points together.
    double low = least > 0 && (kind == Kind.BARS || least < 0.6 * most) ? 0 : least;
    double span = most > low ? most - low : Math.max(Math.abs(most), 1);
    return new Axis(low == 0 ? 0 : low - 0.05 * span, low + 1.05 * span, from, to);
  }

  /** Numbers from {@code least} to {@code most} at places between two others. */
  private record Axis(double least, double most, double from, double to) {
    double place(double number) {
      double place = from + (to - from) * (number - least) / (most - least);
      return Math.round(place * 10) / 10.0;
    }

    /** About so many round numbers, 1, 2 or 5 times a power of ten apart. */
    List<Tick> ticks(int wanted) {
      double rough = (most - least) / wanted;
      double power = Math.pow(10, Math.floor(Math.log10(rough)));
      double step =
          power * (rough > 5 * power ? 10 : rough > 2 * power ? 5 : rough > power ? 2 : 1);
      List<Tick> ticks = new ArrayList<>();
      for (long i = (long) Math.ceil(least / step - 1e-9); i * step <= most + step * 1e-9; i++) {
        ticks.add(new Tick(place(i * step), label(i * step)));
      }
      return ticks;
    }

    /** A number without the noise of binary fractions. */
    static String label(double number) {
      BigDecimal rounded = new BigDecimal(number).round(new MathContext(4));
      return rounded.signum() == 0 ? "0" : rounded.stripTrailingZeros().toPlainString();
    }
  }
}
