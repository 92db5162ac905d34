/**
 * The decoder and its KV cache.
 *
 * <p>The computation is one TorchScript source, the resource {@code decoder.py}: {@link
 * dev.kvshare.apply.decoder.script.ScriptModule} packs and loads it, {@link
 * dev.kvshare.apply.decoder.script.ScriptArguments} turns a {@link
 * dev.kvshare.apply.family.spec.ModelSpec} and its weights into its arguments, {@link
 * dev.kvshare.apply.decoder.script.ScriptCalls} calls it.
 *
 * <p>Native memory: a {@link dev.kvshare.apply.decoder.Decoder} owns weights, tables and module, a
 * {@link dev.kvshare.apply.decoder.KvCache} its tensors; both free them when closed. Every result
 * belongs to the manager that its method names and is closed by the caller or with that manager. A
 * tensor made from a Java array shares that array's buffer, so whatever outlives the call is copied
 * first.
 */
package dev.kvshare.apply.decoder;
