/**
 * How Java packs, loads and calls the TorchScript sources: start at {@link
 * dev.kvshare.apply.decoder.script.ScriptModule}.
 */
package dev.kvshare.apply.decoder.script;
