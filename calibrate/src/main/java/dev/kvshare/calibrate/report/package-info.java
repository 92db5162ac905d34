/**
 * A calibration as one HTML page that needs nothing else: pictures are laid out here as plain
 * records and drawn by the template {@code report.ftlh} as inline SVG.
 *
 * <p>No charting library draws them, because those of Java lay out text with AWT, which fails on
 * servers without fonts, and fix colours, which does not fit a page with a light and a dark look.
 */
package dev.kvshare.calibrate.report;
