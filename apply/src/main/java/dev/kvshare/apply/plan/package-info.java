/**
 * What every layer does and how prompts are processed: start at {@link
 * dev.kvshare.apply.plan.Plan}.
 */
package dev.kvshare.apply.plan;
