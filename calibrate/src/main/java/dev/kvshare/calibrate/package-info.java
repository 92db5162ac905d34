/** KV statistics, ranking and search. */
package dev.kvshare.calibrate;
