/**
 * A model under a policy as a model of DJL: for its predictors, its {@code TextGenerator} and
 * DJL-Serving. Start reading at {@link dev.kvshare.apply.djl.KvshareTranslatorFactory}.
 */
package dev.kvshare.apply.djl;
