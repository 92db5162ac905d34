/**
 * The options of the commands: start at {@link dev.kvshare.cli.options.CalibrateOptions}. Their
 * texts are in the resource {@code help.properties}; those marked as {@link
 * dev.kvshare.cli.options.Everyday} stand in {@code --help}.
 */
package dev.kvshare.cli.options;
