/**
 * Finds a plan for a model: {@link dev.kvshare.calibrate.Calibration} is the entry, from text to
 * written policy. Data flows one way: passages of tokens, statistics of keys and values ({@code
 * capture}), plans that are tried ({@code search}) as they are when repaired ({@code repair}), a
 * policy with refitted weights, a page that explains it ({@code report}).
 */
package dev.kvshare.calibrate;
