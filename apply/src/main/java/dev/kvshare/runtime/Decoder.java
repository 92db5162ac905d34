package dev.kvshare.runtime;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.model.Checkpoint;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.policy.SharingMap;

/**
 * Runs a checkpoint. Letters: B batch, T tokens, E hidden size, V vocabulary. Not safe for use by
 * several threads at once.
 *
 * <p>Results belong to the manager of the tensor given ({@code ids} or {@code hidden}); those of
 * {@link #prefill} to the decoder's until closed. A caller closes each result, or makes it in a
 * sub-manager of {@link #newManager()} that it closes.
 */
public final class Decoder implements AutoCloseable {

  private Decoder() {}

  /**
   * Reads the weights. The checkpoint must stay open as long as the decoder, because weights may be
   * mapped from it.
   */
  public static Decoder load(Checkpoint checkpoint, DecoderOptions options) {
    return pending();
  }

  /** What the checkpoint computes. */
  public ModelSpec spec() {
    return pending();
  }

  /** A manager on the decoder's device, for inputs and results; the caller closes it. */
  public NDManager newManager() {
    return pending();
  }

  /**
   * An empty cache. Only layers that keep their own keys and values have tensors.
   *
   * @param map which layer reads whose keys and values
   * @param batch B
   * @param initialCapacity positions allocated at once; more are added in blocks when needed
   */
  public KvCache newCache(SharingMap map, int batch, int initialCapacity) {
    return pending();
  }

  /**
   * Embeds tokens at the positions behind {@code cache.length()}.
   *
   * @param ids int64 [B, T]
   * @return [B, T, E] in the compute type
   */
  public NDArray embed(NDArray ids, KvCache cache) {
    return pending();
  }

  /**
   * Runs the layers from {@code from} (inclusive) to {@code to} (exclusive) on T new positions
   * behind {@code cache.length()} and writes their keys and values there; does not advance the
   * cache.
   *
   * @param hidden [B, T, E] in the compute type
   * @return [B, T, E] in the compute type
   */
  public NDArray layers(NDArray hidden, KvCache cache, int from, int to) {
    return pending();
  }

  /**
   * The final norm; what transformers gives as the last of {@code hidden_states}.
   *
   * @param hidden [B, T, E] in the compute type
   * @return [B, T, E] in the compute type
   */
  public NDArray finalNorm(NDArray hidden) {
    return pending();
  }

  /**
   * The final norm and the output head.
   *
   * @param hidden [B, T, E] in the compute type, before the final norm
   * @return logits float32 [B, T, V]
   */
  public NDArray head(NDArray hidden) {
    return pending();
  }

  /**
   * New tokens through the whole model; advances the cache.
   *
   * @param ids int64 [B, T]
   * @return logits float32 [B, T, V] of every new position
   */
  public NDArray forward(NDArray ids, KvCache cache) {
    return pending();
  }

  /**
   * Prompts into an empty cache; advances it by the longest. Layers above the highest layer that
   * keeps its own keys and values are run for the last position only.
   *
   * @param prompts B prompts, of different lengths if wanted
   * @param cache an empty cache of the same batch
   * @param chunkTokens positions processed at once; less memory, same output
   * @return logits float32 [B, V] of each row's last token
   */
  public NDArray prefill(PromptBatch prompts, KvCache cache, int chunkTokens) {
    return pending();
  }

  /**
   * One new token a row; advances the cache. One native call.
   *
   * @param ids int64 [B]
   * @return logits float32 [B, V]
   */
  public NDArray decode(NDArray ids, KvCache cache) {
    return pending();
  }

  @Override
  public void close() {
    pending();
  }

  @SuppressWarnings("TypeParameterUnusedInFormals")
  private static <T> T pending() {
    throw new UnsupportedOperationException();
  }
}
