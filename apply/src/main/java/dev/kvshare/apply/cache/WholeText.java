package dev.kvshare.apply.cache;

/**
 * Everything that some layer may still see. Only layers whose readers a sharing policy restricts to
 * windows drop what lies between the first and the last tokens, which changes no output; without
 * such windows nothing is dropped.
 */
public record WholeText() implements CachePolicy {

  @Override
  public String name() {
    return "whole-text";
  }

  @Override
  public String description() {
    return "all tokens that some layer may still see";
  }

  @Override
  public KeepRule rule(int rank, int owners, int promptTokens) {
    return KeepRule.ALL;
  }
}
