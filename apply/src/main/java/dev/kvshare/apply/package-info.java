/** Loading a model under a policy and generating with it. */
package dev.kvshare.apply;
