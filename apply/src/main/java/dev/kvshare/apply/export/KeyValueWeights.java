package dev.kvshare.apply.export;

/** Which key and value weights a layer gets whose keys and values others read. */
public enum KeyValueWeights {
  /** Its own: the export computes what the policy computes. */
  OWN,
  /**
   * The mean of those of its readers, as {@code convert_pretrained.py} of the LCKV code makes them:
   * a start for training.
   */
  AVERAGED
}
