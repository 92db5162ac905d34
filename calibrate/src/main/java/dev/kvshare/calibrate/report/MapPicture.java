package dev.kvshare.calibrate.report;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * The map as layers in a row, with an arc from each reader to the layer that it reads. Lengths are
 * in CSS pixels.
 *
 * @param width width of the picture
 * @param height height of the picture
 * @param nodes the layers
 * @param arcs who reads whom, the widest first
 */
record MapPicture(int width, int height, List<Node> nodes, List<Arc> arcs) {
  private static final int MIN_STEP = 30;
  private static final int MAX_STEP = 64;
  private static final int MARGIN = 24;
  private static final int WIDTH = 960;
  private static final int MAX_ARC_HEIGHT = 190;

  /** Half the height of a node. */
  private static final int HALF = 12;

  private static final int BELOW = 44;

  /** How many colours the page has for sources. */
  private static final int COLOURS = 6;

  /**
   * A layer.
   *
   * @param layer its number
   * @param x its middle
   * @param y its middle
   * @param kind owner of all its keys and values, windowed, or reader
   * @param colour of its arcs, from 0, or -1 if nobody reads it
   * @param title in words
   */
  record Node(int layer, int x, int y, String kind, int colour, String title) {}

  /**
   * An arc.
   *
   * @param path SVG path data
   * @param colour that of its source
   * @param title in words
   */
  record Arc(String path, int colour, String title) {}

  static MapPicture of(Plan plan) {
    SharingMap map = plan.map();
    int step = Math.max(MIN_STEP, Math.min(MAX_STEP, (WIDTH - 2 * MARGIN) / map.layers()));
    int widest = 0;
    for (int layer = 0; layer < map.layers(); layer++) {
      widest = Math.max(widest, Math.abs(layer - map.source(layer)));
    }
    int arcHeight = Math.min(MAX_ARC_HEIGHT, widest * step / 2);
    int y = MARGIN + arcHeight + HALF;
    int[] colours = colours(map);
    List<Node> nodes = new ArrayList<>();
    List<Arc> arcs = new ArrayList<>();
    for (int layer = 0; layer < map.layers(); layer++) {
      nodes.add(node(plan, layer, x(layer, step), y, colours[map.source(layer)]));
      if (!map.ownsCache(layer)) {
        double height = arcHeight * Math.abs(layer - map.source(layer)) / (double) widest;
        arcs.add(arc(nodes.get(layer), x(map.source(layer), step), height));
      }
    }
    int width = 2 * MARGIN + map.layers() * step;
    return new MapPicture(width, y + BELOW, nodes, arcs);
  }

  /** Sources that are read take turns in the colours. */
  private static int[] colours(SharingMap map) {
    int[] colours = new int[map.layers()];
    int next = 0;
    for (int owner : map.owners()) {
      colours[owner] = isRead(map, owner) ? next++ % COLOURS : -1;
    }
    return colours;
  }

  private static boolean isRead(SharingMap map, int owner) {
    for (int layer = 0; layer < map.layers(); layer++) {
      if (layer != owner && map.source(layer) == owner) {
        return true;
      }
    }
    return false;
  }

  private static Node node(Plan plan, int layer, int x, int y, int colour) {
    String reduced = plan.map().ownsCache(layer) ? "windowed" : "reader";
    String kind = plan.isReduced(layer) ? reduced : "owner";
    return new Node(layer, x, y, kind, colour, title(plan, layer));
  }

  private static String title(Plan plan, int layer) {
    if (!plan.map().ownsCache(layer)) {
      return "Layer %d reads layer %d".formatted(layer, plan.map().source(layer));
    }
    return plan.isReduced(layer)
        ? "Layer %d keeps the first %d and the last %d tokens"
            .formatted(layer, plan.windows().first(), plan.windows().last())
        : "Layer %d keeps its own keys and values".formatted(layer);
  }

  private static Arc arc(Node reader, int sourceX, double height) {
    int top = reader.y() - HALF;
    String path =
        String.format(
            Locale.ROOT,
            "M%d %d A%.1f %.1f 0 0 %d %d %d",
            reader.x(),
            top,
            Math.abs(reader.x() - sourceX) / 2.0,
            height,
            sourceX < reader.x() ? 0 : 1,
            sourceX,
            top);
    return new Arc(path, reader.colour(), reader.title());
  }

  private static int x(int layer, int step) {
    return MARGIN + layer * step + step / 2;
  }
}
