/** The command line. */
package dev.kvshare.cli;
