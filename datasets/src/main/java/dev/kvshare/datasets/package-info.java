/** Text sources, sampling and token windows. */
package dev.kvshare.datasets;
