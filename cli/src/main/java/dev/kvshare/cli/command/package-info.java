/**
 * One class a command: start at {@link dev.kvshare.cli.command.CalibrateCommand}. A command turns
 * options into a call of another module, and prints what it returns.
 */
package dev.kvshare.cli.command;
