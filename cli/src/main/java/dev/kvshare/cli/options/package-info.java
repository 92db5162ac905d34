/**
 * The options of the commands, read and checked: start at {@link
 * dev.kvshare.cli.options.CalibrateOptions}.
 */
package dev.kvshare.cli.options;
