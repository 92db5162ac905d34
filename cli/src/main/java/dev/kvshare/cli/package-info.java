/**
 * The command line: one class a verb ({@link dev.kvshare.cli.command.CalibrateCommand}, {@link
 * dev.kvshare.cli.command.ApplyCommand}, {@link dev.kvshare.cli.command.EvalCommand}, {@link
 * dev.kvshare.cli.command.DatasetsCommand}, {@link dev.kvshare.cli.command.InspectCommand}), built
 * on picocli.
 *
 * <p>Results go to standard output; progress, log lines and warnings go to standard error. Exit
 * codes are those of {@link dev.kvshare.cli.ExitCodes}. Nothing here computes: a command turns
 * options into the configuration records of the other modules and prints what they return.
 */
package dev.kvshare.cli;
