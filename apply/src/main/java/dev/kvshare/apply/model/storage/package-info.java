/**
 * What both checkpoint formats share: mapped files, tensors found in them, decoding of rows into
 * buffers; and files that are never half written. Start at {@link
 * dev.kvshare.apply.model.storage.MappedCheckpoint}.
 */
package dev.kvshare.apply.model.storage;
