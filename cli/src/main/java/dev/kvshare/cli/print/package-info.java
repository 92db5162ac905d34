/** What commands print: start at {@link dev.kvshare.cli.print.Output}. */
package dev.kvshare.cli.print;
