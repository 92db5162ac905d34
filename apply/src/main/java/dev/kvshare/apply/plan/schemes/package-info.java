/**
 * The sharing schemes of the papers, by their names: the nine configurations of "A Systematic Study
 * of Cross-Layer KV Sharing" (arXiv 2410.14442), CLA, YOCO, MixAttention and LCKV. Start reading at
 * {@link dev.kvshare.apply.plan.schemes.Scheme}.
 */
package dev.kvshare.apply.plan.schemes;
