package dev.kvshare.calibrate.repair;

/**
 * What the fit of a layer's queries did, on windows that they were not fitted to.
 *
 * @param layer the layer, which reads another one's keys and values
 * @param before the mean divergence of a head's attention at a token from the unshared model's, in
 *     nats, with the checkpoint's queries
 * @param after the same with the queries that are used
 */
public record FittedQueries(int layer, double before, double after) {}
