/** Checkpoint formats, configurations and the families that describe them. */
package dev.kvshare.apply.model;
