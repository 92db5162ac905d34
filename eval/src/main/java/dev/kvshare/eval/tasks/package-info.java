/**
 * Tasks that the field measures models by, scored as lm-evaluation-harness does: start at {@link
 * dev.kvshare.eval.tasks.TaskSchema}, which says how an item is asked; {@link
 * dev.kvshare.eval.tasks.TaskMeter} asks, {@link dev.kvshare.eval.tasks.TaskReport} adds up.
 */
package dev.kvshare.eval.tasks;
