package dev.kvshare.apply.model.gguf;

import static dev.kvshare.apply.model.Defect.corrupt;
import static dev.kvshare.apply.model.Defect.unsupported;
import static dev.kvshare.apply.model.gguf.GgufFixture.int32;
import static dev.kvshare.apply.model.gguf.GgufFixture.int64;
import static dev.kvshare.apply.model.gguf.GgufFixture.join;
import static dev.kvshare.apply.model.gguf.GgufFixture.llama;
import static dev.kvshare.apply.model.gguf.GgufFixture.string;

import dev.kvshare.apply.model.Defect;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.stream.Stream;

/** Broken GGUF files, one a rule of the format. */
final class GgufDefects {
  private static final long HUGE = 1L << 62;

  private GgufDefects() {}

  static Stream<Defect> all() {
    return Stream.of(start(), counts(), values(), tensors(), meaning(), tokenizer())
        .flatMap(stream -> stream);
  }

  private static Stream<Defect> start() {
    return Stream.of(
        corrupt("empty", new byte[0], "0 bytes", "incomplete"),
        corrupt("magic", llama().magic("GGML").bytes(), "not 'GGUF'"),
        corrupt("LFS pointer", ascii("version https://git-lfs.github.com/spec/v1\n"), "lfs pull"),
        corrupt("HTML", ascii("<html><body>404</body></html>"), "web page"),
        corrupt("magic only", ascii("GGUF"), "the version at byte 4", "ends after 0"),
        unsupported("version 1", llama().version(1).bytes(), "version 1", "versions 2 and 3"),
        unsupported("version 4", llama().version(4).bytes(), "version 4", "newer kvshare"),
        unsupported("big-endian", llama().version(3 << 24).bytes(), "big-endian", "version 3"));
  }

  private static Stream<Defect> counts() {
    return Stream.of(
        corrupt("tensors 2^62", llama().tensorCount(HUGE).bytes(), "number of tensors", "byte 8"),
        corrupt("keys 2^63", llama().pairCount(Long.MIN_VALUE).bytes(), "9223372036854775808"),
        corrupt("keys 2^62", llama().pairCount(HUGE).bytes(), "number of metadata keys", "4611686"),
        corrupt("one key too many", new GgufFixture().pairCount(2).bytes(), "at most"),
        corrupt(
            "key length 2^62",
            join(new GgufFixture().pairCount(1).bare(), int64(HUGE), new byte[64]),
            "the length of metadata key 0",
            "4611686018427387904"),
        corrupt(
            "text length 2^62",
            llama().pair("llama.name", GgufFixture.STRING, int64(HUGE)).bytes(),
            "the length of the value of key 'llama.name'",
            "4611686018427387904"),
        corrupt(
            "array length 2^62",
            llama().array("llama.list", GgufFixture.UINT8, HUGE).bytes(),
            "the number of elements of key 'llama.list'",
            "4611686018427387904"),
        corrupt(
            "array length 2^64-1",
            llama().array("llama.list", GgufFixture.UINT32, -1).bytes(),
            "18446744073709551615"),
        corrupt(
            "array behind the end",
            llama().array("llama.list", GgufFixture.STRING, 100_000).bytes(),
            "'llama.list'",
            "are possible"),
        corrupt("cut off", Arrays.copyOf(llama().bytes(), 100), "byte"));
  }

  private static Stream<Defect> values() {
    return Stream.of(
        corrupt("value type 13", llama().pair("llama.x", 13, int32(0)).bytes(), "is 13", "0 to 12"),
        corrupt("element type 99", llama().array("llama.x", 99, 0).bytes(), "is 99", "element"),
        corrupt(
            "array of arrays",
            llama().array("llama.x", GgufFixture.ARRAY, 1, int32(0), int64(0)).bytes(),
            "'llama.x'",
            "array of arrays"),
        corrupt(
            "bool 7",
            llama().pair("tokenizer.x", GgufFixture.BOOL, new byte[] {7}).bytes(),
            "'tokenizer.x'",
            "the bool 7"),
        corrupt(
            "unsigned 2^63",
            llama().pair("general.x", GgufFixture.UINT64, int64(Long.MIN_VALUE)).bytes(),
            "'general.x'",
            "9223372036854775808",
            "2^63-1"),
        corrupt(
            "key twice",
            llama().natural("llama.block_count", 2).bytes(),
            "block_count' is there tw"),
        corrupt("alignment 0", llama().natural("general.alignment", 0).bytes(), "is 0", "power"),
        corrupt("alignment 13", llama().natural("general.alignment", 13).bytes(), "is 13", "power"),
        corrupt(
            "alignment is a text",
            llama().text("general.alignment", "32").bytes(),
            "'general.alignment' is string 32",
            "whole number"),
        corrupt(
            "number is a text",
            llama().text("llama.rope.freq_base", "many").bytes(),
            "'llama.rope.freq_base' is string many",
            "must be a number"),
        corrupt(
            "negative number",
            llama().pair("llama.attention.key_length", GgufFixture.INT32, int32(-4)).bytes(),
            "int32 -4",
            "at least 0"));
  }

  private static Stream<Defect> tensors() {
    return Stream.of(
        corrupt(
            "five dimensions",
            llama().floats("x.weight", 1, 1, 1, 1, 1).bytes(),
            "'x.weight' has 5 dimensions",
            "at most 4"),
        corrupt("2^31 dimensions", dimensions(Integer.MIN_VALUE), "2147483648 dimensions"),
        corrupt(
            "negative size", llama().tensor("x.weight", 0, 0, -8).bytes(), "'x.weight'", "[-8]"),
        corrupt(
            "product overflows",
            llama().tensor("x.weight", 0, 0, 1L << 32, 1L << 32).bytes(),
            "'x.weight'",
            "overflows 64 bits"),
        corrupt(
            "shape larger than the data",
            llama().tensor("x.weight", 0, 0, 1 << 20).bytes(),
            "'x.weight'",
            "4194304 bytes",
            "has only"),
        corrupt(
            "offset past the end",
            llama().tensor("x.weight", 0, 1 << 20, 8).bytes(),
            "offset 1048576 of the data"),
        corrupt(
            "offset 2^63",
            llama().tensor("x.weight", 0, Long.MIN_VALUE, 8).bytes(),
            "9223372036854775808"),
        corrupt("unaligned", llama().tensor("x.weight", 0, 4, 8).bytes(), "multiple of the alig"),
        corrupt(
            "overlap",
            llama().tensor("x.weight", 0, 0, 8).bytes(),
            "'x.weight' [",
            "'token_embd.weight' [",
            "overlap"),
        corrupt(
            "name in another encoding",
            new String(llama().bytes(), StandardCharsets.ISO_8859_1)
                .replace("output_norm.weight", "output_norm.we\u00efght")
                .getBytes(StandardCharsets.ISO_8859_1),
            "no UTF-8"),
        corrupt("tensor twice", llama().floats("output_norm.weight", 8).bytes(), "is there twice"),
        corrupt(
            "broken block",
            llama().stored("x.weight", GgufFixture.Q8_0, new byte[34], 33).bytes(),
            "Q8_0 [33]",
            "blocks of 32"),
        unsupported(
            "type IQ2_XXS", llama().tensor("x.weight", 16, 0, 256).bytes(), "IQ2_XXS", "Q2_K to"),
        unsupported("type MXFP4", llama().tensor("x.weight", 39, 0, 32).bytes(), "MXFP4"),
        unsupported("type 99", llama().tensor("x.weight", 99, 0, 32).bytes(), "number 99"));
  }

  private static Stream<Defect> meaning() {
    return Stream.of(
        unsupported("no architecture", new GgufFixture().bytes(), "architecture' is absent"),
        unsupported(
            "unknown architecture",
            new GgufFixture().text("general.architecture", "mamba").bytes(),
            "string mamba",
            "llama"),
        corrupt(
            "missing keys",
            new GgufFixture().text("general.architecture", "llama").bytes(),
            "'llama.block_count' is missing",
            "'llama.embedding_length' is missing"),
        unsupported("unknown key", llama().natural("llama.twist", 3).bytes(), "llama.twist", "und"),
        unsupported(
            "unknown tensor",
            llama().floats("blk.0.twist.weight", 2).bytes(),
            "'blk.0.twist.weight' [2] is not known"),
        unsupported(
            "rope scaling", llama().text("llama.rope.scaling.type", "su").bytes(), "'su'", "yarn"),
        unsupported("split", llama().natural("split.count", 3).bytes(), "3 files", "--merge"),
        unsupported(
            "layers that differ",
            llama().array("llama.attention.key_length", 4, 2, int32(4), int32(8)).bytes(),
            "[4, 8]"));
  }

  private static Stream<Defect> tokenizer() {
    GgufFixture ids =
        llama().text("tokenizer.ggml.model", "gpt2").natural("tokenizer.ggml.eos_token_id", 9);
    GgufFixture scores =
        llama()
            .text("tokenizer.ggml.model", "llama")
            .texts("tokenizer.ggml.tokens", "a", "b")
            .array("tokenizer.ggml.scores", GgufFixture.FLOAT32, 1, int32(0));
    return Stream.of(
        corrupt("no tokens", ids.bytes(), "tokens' has no elements", "eos_token_id' is 9"),
        corrupt("scores of another length", scores.bytes(), "scores' has 1 elements", "2 tokens"));
  }

  private static byte[] dimensions(int count) {
    return join(new GgufFixture().tensorCount(1).bare(), string("x"), int32(count), new byte[64]);
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }
}
