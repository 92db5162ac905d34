/**
 * What both checkpoint formats share: mapped files, tensors found in them, and decoding of rows
 * into buffers.
 */
package dev.kvshare.apply.model.storage;
