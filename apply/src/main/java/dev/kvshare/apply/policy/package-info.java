/** The policy file: which layer reads whose keys and values. */
package dev.kvshare.apply.policy;
