/** One class a command: start at {@link dev.kvshare.cli.command.CalibrateCommand}. */
package dev.kvshare.cli.command;
