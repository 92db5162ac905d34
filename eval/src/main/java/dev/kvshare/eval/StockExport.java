package dev.kvshare.eval;

import dev.kvshare.apply.export.FolderExport;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.eval.format.Report;
import java.nio.file.Path;
import java.util.List;

/** What an engine loses that keeps no first tokens and computes prompts under the plan. */
public final class StockExport {
  private StockExport() {}

  /**
   * Measures the policy as kvshare runs it and as a stock engine does, on the built-in text.
   *
   * @param weightsOrNull the policy file beside which its refitted weights lie; null for none
   */
  public static Report report(LoadedModel model, Policy policy, Path weightsOrNull) {
    Policy stock = FolderExport.asStock(policy);
    return Evaluator.of(model)
        .policies(
            List.of(
                new EvaluatedPolicy("policy", policy, weightsOrNull),
                new EvaluatedPolicy("as exported", stock, weightsOrNull)))
        .speed(null)
        .run()
        .report();
  }
}
