/**
 * The decoder and its KV cache: start at {@link dev.kvshare.apply.decoder.Decoder} and at the
 * resource {@code decoder.py}, the TorchScript source that computes everything.
 *
 * <p>Data flows upwards. The room {@code script} packs and loads the source and turns a {@link
 * dev.kvshare.apply.family.spec.ModelSpec} into the numbers that it takes; {@code weights} does the
 * same with tensors; this package has the caches and the calls.
 *
 * <p>Native memory: a {@link dev.kvshare.apply.decoder.Decoder} owns weights, tables and module, a
 * {@link dev.kvshare.apply.decoder.KvCache} its tensors; both free them when closed. Every result
 * belongs to the manager that its method names and is closed by the caller or with that manager. A
 * tensor made from a Java array shares that array's buffer, so whatever outlives the call is copied
 * first.
 */
package dev.kvshare.apply.decoder;
