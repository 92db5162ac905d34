package dev.kvshare.apply.djl;

import ai.djl.Device;
import ai.djl.Model;
import ai.djl.modality.Input;
import ai.djl.modality.Output;
import ai.djl.modality.nlp.generate.CausalLMOutput;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.nn.Block;
import ai.djl.nn.BlockFactory;
import ai.djl.repository.zoo.Criteria;
import ai.djl.translate.NoBatchifyTranslator;
import ai.djl.translate.Translator;
import ai.djl.translate.TranslatorContext;
import ai.djl.translate.TranslatorFactory;
import ai.djl.util.Pair;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.DecoderOptions.WeightForm;
import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.generate.PolicyModel;
import dev.kvshare.apply.plan.Plan;
import java.lang.reflect.Type;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * Loads a model under a policy for DJL: {@link #criteria} for a Java program, {@code
 * serving.properties} for DJL-Serving ({@code kvshare apply --export djl} writes it).
 *
 * <table>
 * <caption>Arguments</caption>
 * <tr><td>{@code policy}</td><td>the policy file; a relative path begins at the model's folder,
 *     or where that has no such file at the working directory; without one the model runs
 *     unshared</td></tr>
 * <tr><td>{@code model}</td><td>a GGUF file in the model's folder</td></tr>
 * <tr><td>{@code dtype}</td><td>{@code float32} (default), {@code bfloat16}, {@code
 *     float16}</td></tr>
 * <tr><td>{@code device}</td><td>{@code cpu}, {@code cuda:N}; else that of the criteria</td></tr>
 * <tr><td>{@code threads}</td><td>threads of one operator on the CPU</td></tr>
 * <tr><td>{@code weights}</td><td>{@code full} (default), {@code int8}</td></tr>
 * <tr><td>{@code force}</td><td>{@code true}: take a policy of another model</td></tr>
 * <tr><td>{@code repair}</td><td>{@code false}: leave out the policy's refitted weights</td></tr>
 * <tr><td>{@code prefill}</td><td>{@code plan}, {@code exact}: how prompts are computed, in place
 *     of what the policy says</td></tr>
 * <tr><td>{@code hidden_states}</td><td>{@code true}: give hidden states, as contrastive search
 *     needs; a prompt then costs as much as without a policy</td></tr>
 * <tr><td>{@code max_new_tokens}, {@code temperature}, {@code top_k}, {@code top_p}, {@code min_p},
 *     {@code repetition_penalty}, {@code seed}, {@code stop}, {@code chat}</td><td>how texts are
 *     continued; greedily unless a temperature is given</td></tr>
 * </table>
 *
 * <p>Types: text to text; {@code Input} to {@code Output} for DJL-Serving; ids, mask and past to
 * {@code CausalLMOutput} for {@code TextGenerator}, whose greedy and beam search run on it, with
 * left padding too, and contrastive search on prompts of one length. One loaded model serves
 * several threads, each with its own predictor; their calls take turns. Closing the model frees its
 * native memory.
 */
public final class KvshareTranslatorFactory implements TranslatorFactory, BlockFactory {
  private static final long serialVersionUID = 1L;

  private static final Set<Pair<Type, Type>> TYPES =
      Set.of(
          new Pair<>(String.class, String.class),
          new Pair<>(Input.class, Output.class),
          new Pair<>(NDList.class, CausalLMOutput.class));

  /**
   * Criteria that load a model; {@code optArgument} says the rest.
   *
   * @param model a Hugging Face directory or a GGUF file
   */
  public static <I, O> Criteria.Builder<I, O> criteria(
      Class<I> input, Class<O> output, Path model) {
    boolean file = Files.isRegularFile(model);
    Criteria.Builder<I, O> criteria =
        Criteria.builder()
            .setTypes(input, output)
            .optEngine("PyTorch")
            .optModelPath(file ? model.toAbsolutePath().getParent() : model)
            .optTranslatorFactory(new KvshareTranslatorFactory())
            .optArgument("blockFactory", KvshareTranslatorFactory.class.getName())
            .optOption("hasParameter", "false");
    return file ? criteria.optArgument("model", model.getFileName().toString()) : criteria;
  }

  @Override
  public Block newBlock(Model model, Path folder, Map<String, ?> arguments) {
    Path policy = policy(folder, arguments.get("policy"));
    Device device = model.getNDManager().getDevice();
    Object wanted = arguments.get("device");
    DecoderOptions decoder =
        new DecoderOptions(
            wanted != null
                ? wanted.toString()
                : device.isGpu() ? "cuda:" + device.getDeviceId() : "cpu",
            choice(arguments, "dtype", ComputeType.values(), ComputeType.FLOAT32),
            threads(arguments),
            choice(arguments, "weights", WeightForm.values(), WeightForm.FULL),
            WeightResidency.ALL);
    Path checkpoint =
        arguments.containsKey("model") ? folder.resolve(arguments.get("model").toString()) : folder;
    PolicyBlock block =
        new PolicyBlock(
            new PolicyModel.Options(
                checkpoint,
                policy,
                decoder,
                flag(arguments, "force", false),
                flag(arguments, "repair", true),
                choice(arguments, "prefill", Plan.Prefill.values(), null)),
            flag(arguments, "hidden_states", false));
    model.getNDManager().attachInternal(NDManager.nextUid(), block);
    return block;
  }

  @Override
  public Set<Pair<Type, Type>> getSupportedTypes() {
    return TYPES;
  }

  @Override
  @SuppressWarnings("unchecked")
  public <I, O> Translator<I, O> newInstance(
      Class<I> input, Class<O> output, Model model, Map<String, ?> arguments) {
    if (!(model.getBlock() instanceof PolicyBlock block)) {
      throw new IllegalArgumentException(
          "The model was not loaded by kvshare: set blockFactory=%s beside translatorFactory."
              .formatted(KvshareTranslatorFactory.class.getName()));
    }
    if (input == String.class && output == String.class) {
      return (Translator<I, O>) new TextTranslator.Text(block, arguments);
    }
    if (input == Input.class && output == Output.class) {
      return (Translator<I, O>) new TextTranslator.Serving(block, arguments);
    }
    if (input == NDList.class && output == CausalLMOutput.class) {
      return (Translator<I, O>) new Logits();
    }
    throw new IllegalArgumentException(
        "kvshare has no translator from %s to %s; it has %s."
            .formatted(input.getName(), output.getName(), TYPES));
  }

  /** Passes ids, mask and past to the block, and its tensors back. */
  private static final class Logits implements NoBatchifyTranslator<NDList, CausalLMOutput> {
    @Override
    public NDList processInput(TranslatorContext context, NDList input) {
      return input;
    }

    @Override
    public CausalLMOutput processOutput(TranslatorContext context, NDList list) {
      NDList past = list.subNDList(list.size() - 1);
      if (list.size() > 2) {
        return new CausalLMOutput(list.get(0), list.get(1), past);
      }
      return new CausalLMOutput(list.get(0), past) {
        @Override
        public NDArray getHiddenState() {
          throw new UnsupportedOperationException(
              "Hidden states, which contrastive search needs, are not given: load the model with the argument hidden_states=true. A prompt then runs all layers at all of its tokens.");
        }
      };
    }
  }

  private static Path policy(Path folder, Object nameOrNull) {
    if (nameOrNull == null) {
      return null;
    }
    Path beside = folder.resolve(nameOrNull.toString());
    Path here = Path.of(nameOrNull.toString());
    return Files.exists(beside) || !Files.exists(here) ? beside : here;
  }

  /** A value by its name in small letters; {@code otherwise} where the argument is not given. */
  private static <E extends Enum<E>> E choice(
      Map<String, ?> arguments, String name, E[] all, E otherwise) {
    Object value = arguments.get(name);
    return value == null
        ? otherwise
        : Arrays.stream(all)
            .filter(each -> each.name().toLowerCase(Locale.ROOT).equals(value.toString()))
            .findFirst()
            .orElseThrow(() -> refused(name, value, Arrays.toString(all).toLowerCase(Locale.ROOT)));
  }

  private static boolean flag(Map<String, ?> arguments, String name, boolean otherwise) {
    Object value = arguments.get(name);
    String text = value == null ? String.valueOf(otherwise) : value.toString();
    if (!text.equals("true") && !text.equals("false")) {
      throw refused(name, value, "true or false");
    }
    return text.equals("true");
  }

  private static int threads(Map<String, ?> arguments) {
    Object value = arguments.get("threads");
    if (value != null && !value.toString().matches("\\d{1,4}")) {
      throw refused("threads", value, "a number of at least 0");
    }
    return value == null ? 0 : Integer.parseInt(value.toString());
  }

  private static IllegalArgumentException refused(String name, Object value, String expected) {
    return new IllegalArgumentException(
        "The argument '%s' is '%s'; expected %s.".formatted(name, value, expected));
  }
}
