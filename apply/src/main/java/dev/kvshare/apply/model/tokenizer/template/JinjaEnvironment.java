package dev.kvshare.apply.model.tokenizer.template;

import com.hubspot.jinjava.Jinjava;
import com.hubspot.jinjava.JinjavaConfig;
import com.hubspot.jinjava.LegacyOverrides;
import com.hubspot.jinjava.el.JinjavaInterpreterResolver;
import com.hubspot.jinjava.interpret.Context;
import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.interpret.RenderResult;
import com.hubspot.jinjava.lib.fn.ELFunctionDefinition;
import com.hubspot.jinjava.lib.tag.Tag;
import com.hubspot.jinjava.tree.Node;
import com.hubspot.jinjava.tree.TagNode;
import dev.kvshare.apply.model.tokenizer.template.JinjaFilters.JinjaTests;
import java.time.LocalDateTime;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import jinjava.javax.el.CompositeELResolver;

/**
 * Jinjava set up like the Jinja environment in which transformers renders chat templates: no
 * escaping, Python's string methods, the functions and filters that transformers adds. What a
 * message says is never taken for template text, and a template reaches no files.
 */
final class JinjaEnvironment {
  private static final long MAX_OUTPUT_BYTES = 64L << 20;
  private static final Jinjava JINJAVA = create();

  private JinjaEnvironment() {}

  /**
   * Renders a template.
   *
   * @throws IllegalArgumentException when the template uses what cannot be rendered
   */
  static RenderResult render(String template, Map<String, Object> variables, LocalDateTime now) {
    Map<String, Object> all = new HashMap<>(variables);
    all.put(JinjaFunctions.NOW, now);
    // Templates ask whether this function is defined, and only variables count as defined.
    all.put("strftime_now", true);
    Context context = JINJAVA.getGlobalContext();
    String adapted =
        JinjaDialect.adapt(
            template,
            filter -> context.getFilter(filter) != null,
            test -> context.getExpTest(test) != null);
    return JINJAVA.renderForResult(adapted, all);
  }

  private static Jinjava create() {
    CompositeELResolver resolver = new CompositeELResolver();
    resolver.add(new PythonMethods());
    resolver.add(JinjavaInterpreterResolver.DEFAULT_RESOLVER_READ_ONLY);
    JinjavaConfig config =
        JinjavaConfig.newBuilder()
            .withNestedInterpretationEnabled(false)
            .withMaxOutputSize(MAX_OUTPUT_BYTES)
            .withElResolver(resolver)
            .withDisabled(
                Map.of(Context.Library.TAG, Set.of("include", "import", "from", "extends")))
            .withLegacyOverrides(
                LegacyOverrides.newBuilder()
                    .withEvaluateMapKeys(true)
                    .withIterateOverMapKeys(true)
                    .withUsePyishObjectMapper(true)
                    .withWhitespaceRequiredWithinTokens(false)
                    .withUseNaturalOperatorPrecedence(true)
                    .withParseWhitespaceControlStrictly(true)
                    .withAllowAdjacentTextNodes(true)
                    .withUseTrimmingForNotesAndExpressions(true)
                    .withKeepNullableLoopValues(true)
                    .build())
            .build();
    Jinjava jinjava = new Jinjava(config);
    Context context = jinjava.getGlobalContext();
    context.registerFunction(function("raise_exception", "raiseException", String.class));
    context.registerFunction(function("strftime_now", "strftimeNow", String.class));
    context.registerFunction(function("namespace", "namespace", Object[].class));
    context.registerFilter(new JinjaFilters.ToJson());
    context.registerFilter(new JinjaFilters.Trim());
    context.registerFilter(new JinjaFilters.Items());
    context.registerFilter(new JinjaFilters.Text());
    context.registerExpTest(new JinjaTests.IsIterable());
    context.registerExpTest(new JinjaTests.IsSequence());
    context.registerTag(new GenerationTag());
    return jinjava;
  }

  private static ELFunctionDefinition function(String name, String method, Class<?> parameter) {
    return new ELFunctionDefinition("", name, JinjaFunctions.class, method, parameter);
  }

  /**
   * {@code {% generation %}}: marks the assistant's words for training; here it changes nothing.
   */
  private static final class GenerationTag implements Tag {
    private static final long serialVersionUID = 1L;

    @Override
    public String getName() {
      return "generation";
    }

    @Override
    public String getEndTagName() {
      return "endgeneration";
    }

    @Override
    public String interpret(TagNode tagNode, JinjavaInterpreter interpreter) {
      StringBuilder text = new StringBuilder();
      for (Node child : tagNode.getChildren()) {
        text.append(child.render(interpreter));
      }
      return text.toString();
    }
  }
}
