/**
 * What every layer of a model does with keys and values: keep its own, read those of another layer,
 * or see the first and last tokens only. Start reading at {@link dev.kvshare.apply.plan.Plan}; what
 * a plan keeps of a text, in tokens and bytes, {@link dev.kvshare.apply.plan.KvUse} computes for
 * all.
 */
package dev.kvshare.apply.plan;
