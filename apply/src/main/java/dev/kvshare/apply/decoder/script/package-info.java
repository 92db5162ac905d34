/**
 * The TorchScript source as Java sees it: {@link dev.kvshare.apply.decoder.script.ScriptModule}
 * packs, loads and calls it, {@link dev.kvshare.apply.decoder.script.ScriptNumbers} has the numbers
 * that describe a model to it.
 */
package dev.kvshare.apply.decoder.script;
