/** Tables and files of results: start at {@link dev.kvshare.eval.format.ReportFormat}. */
package dev.kvshare.eval.format;
