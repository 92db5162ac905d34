/**
 * Tables, CSV and JSON of results: start at {@link dev.kvshare.eval.format.Report}; {@link
 * dev.kvshare.eval.format.Table} prints aligned columns for all of kvshare.
 */
package dev.kvshare.eval.format;
