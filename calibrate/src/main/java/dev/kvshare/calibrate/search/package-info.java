/**
 * Methods that find a plan, one file each: start at {@link dev.kvshare.calibrate.search.Method}.
 * They are made of two searches: {@code SharingSearch}, the procedure of KVSharer (arXiv
 * 2410.18517, section 3 and algorithm 1) over any order of pairs, and {@code ScoredPlans}, which
 * makes plans from scores; {@code Search} judges a few of these as they are when repaired.
 * Deviations from the paper are listed where they are made.
 */
package dev.kvshare.calibrate.search;
