/** Writes models under a policy in the formats of other programs. */
package dev.kvshare.apply.export;
