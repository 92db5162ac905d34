package dev.kvshare.apply.model.hub;

import java.net.URI;

/**
 * A file of a repository at one commit.
 *
 * @param name in the repository
 * @param etag the hash by which the hub and the cache know its content
 * @param size in bytes
 * @param address where it is read from
 */
record HubFile(String name, String etag, long size, URI address) {}
