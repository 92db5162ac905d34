package dev.kvshare.apply.model.safetensors;

import static dev.kvshare.apply.model.Defect.corrupt;
import static dev.kvshare.apply.model.Defect.unsupported;
import static dev.kvshare.apply.model.safetensors.SafetensorsFixture.entry;
import static dev.kvshare.apply.model.safetensors.SafetensorsFixture.file;

import dev.kvshare.apply.model.Defect;
import java.nio.charset.StandardCharsets;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Broken safetensors files, one a rule of the format. */
final class SafetensorsDefects {
  private static final byte[] NONE = {};
  private static final String SOUND = entry("a", "F32", "[2]", 0, 8);

  private SafetensorsDefects() {}

  static Stream<Defect> all() {
    return Stream.of(foreign(), lengths(), syntax(), tensors(), types(), coverage())
        .flatMap(stream -> stream);
  }

  private static Stream<Defect> foreign() {
    return Stream.of(
        corrupt("empty", NONE, "0 bytes", "incomplete", "Download"),
        corrupt("seven bytes", new byte[7], "7 bytes", "incomplete"),
        corrupt(
            "LFS pointer",
            ascii("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"),
            "Git LFS pointer",
            "git lfs pull"),
        corrupt("HTML", ascii("\n<!DOCTYPE html><html>"), "web page", "token"),
        corrupt("XML", ascii("<?xml version=\"1.0\"?><Error>"), "web page"),
        corrupt("zip archive", ascii("PK\3\4archive/data.pkl"), "header of", "not in the safe"));
  }

  private static Stream<Defect> lengths() {
    byte[] header = ascii("{}");
    return Stream.of(
        corrupt("length 2^63", file(Long.MIN_VALUE, header, NONE), "9223372036854775808"),
        corrupt("length 2^64-1", file(-1, header, NONE), "18446744073709551615"),
        corrupt("length 100000001", file(100_000_001, header, NONE), "100000001", "at most 2"),
        corrupt("length past the end", file(3, header, NONE), "3 bytes", "at most 2", "10 bytes"),
        corrupt("length 0", file(0, NONE, NONE), "does not hold a JSON object"));
  }

  private static Stream<Defect> syntax() {
    return Stream.of(
        corrupt("not UTF-8", file(2, new byte[] {'{', (byte) 0xff}, NONE), "UTF-8", "byte 9"),
        corrupt("UTF-16", utf16("{}"), "invalid JSON"),
        corrupt("not JSON", file("{\"a\": nope}", NONE), "invalid JSON", "byte 18", "nope"),
        corrupt("truncated JSON", file("{\"a\": {", NONE), "invalid JSON", "end-of-input"),
        corrupt("deep nesting", file("{\"a\":" + "[".repeat(100_000), NONE), "deeper than 64"),
        corrupt("array", file("[]", NONE), "does not hold a JSON object"),
        corrupt("text behind", file("{} {}", NONE), "goes on after"),
        corrupt(
            "duplicate tensor",
            file("{" + SOUND + "," + SOUND + "}", new byte[8]),
            "names 'a' twice"),
        corrupt(
            "duplicate field",
            file("{\"a\": {\"dtype\": \"F32\", \"dtype\": \"I32\"}}", NONE),
            "the key 'dtype' is there twice",
            "dtype"),
        corrupt(
            "metadata of numbers", file("{\"__metadata__\": {\"a\": 1}}", NONE), "__metadata__"),
        corrupt("metadata no object", file("{\"__metadata__\": 7}", NONE), "__metadata__", "7"));
  }

  private static Stream<Defect> tensors() {
    return Stream.of(
        corrupt("tensor no object", one("\"a\": 5"), "'a'", "5 instead of an object"),
        corrupt("no dtype", one("\"a\": {\"shape\": [], \"data_offsets\": [0, 4]}"), "dtype: miss"),
        corrupt(
            "no shape",
            one("\"a\": {\"dtype\": \"F32\", \"data_offsets\": [0, 4]}"),
            "shape: miss"),
        corrupt(
            "no offsets",
            one("\"a\": {\"dtype\": \"F32\", \"shape\": []}"),
            "data_offsets: missing"),
        corrupt("negative size", one(entry("a", "F32", "[-2]", 0, 8)), "shape[0]: -2"),
        corrupt("fractional size", one(entry("a", "F32", "[1, 2.5]", 0, 8)), "shape[1]: 2.5"),
        corrupt("size 2^63", one(entry("a", "F32", "[9223372036854775808]", 0, 8)), "2^63-1"),
        corrupt("text as size", one(entry("a", "F32", "[\"2\"]", 0, 8)), "shape[0]: \"2\""),
        corrupt(
            "three offsets",
            one("\"a\": {\"dtype\": \"F32\", \"shape\": [], \"data_offsets\": [0, 4, 8]}"),
            "3 numbers instead of [begin, end]"),
        corrupt("reversed", one(entry("a", "F32", "[2]", 8, 0)), "[8, 0] is reversed"),
        corrupt(
            "shape too large",
            one(entry("a", "F32", "[3]", 0, 8)),
            "shape [3] of F32 takes 12 bytes",
            "hold 8"),
        corrupt(
            "product overflows",
            one(entry("a", "F32", "[4294967296, 4294967296]", 0, 8)),
            "overflows 64 bits"),
        corrupt(
            "bytes overflow", one(entry("a", "F32", "[4611686018427387904]", 0, 8)), "overflows"));
  }

  private static Stream<Defect> types() {
    return Stream.of(
        corrupt("unknown type", one(entry("a", "F33", "[2]", 0, 8)), "'F33'", "F32, F16, BF16"),
        corrupt(
            "number as type", one(entry("a", "F", "[2]", 0, 8).replace("\"F\"", "4")), "4 inst"),
        unsupported(
            "float8",
            one(entry("a", "F8_E4M3", "[8]", 0, 8)),
            "'F8_E4M3'",
            "convert the model to BF16"),
        corrupt(
            "several problems",
            one(entry("a", "F33", "[2]", 0, 8) + "," + entry("b", "F32", "[-1]", 8, 9)),
            "2 problems",
            "'a'",
            "'b'"),
        corrupt("more problems than listed", many(), "30 problems", "and 10 more"));
  }

  private static Stream<Defect> coverage() {
    String second = entry("b", "F32", "[2]", 4, 12);
    return Stream.of(
        corrupt("data cut off", file("{" + SOUND + "}", new byte[5]), "3 bytes are missing", "'a'"),
        corrupt("bytes behind", file("{" + SOUND + "}", new byte[11]), "3 extra bytes"),
        corrupt(
            "overlap", file("{" + SOUND + "," + second + "}", new byte[12]), "'a' [0, 8)", "ove"),
        corrupt(
            "gap",
            file("{" + SOUND + "," + entry("b", "F32", "[1]", 12, 16) + "}", new byte[16]),
            "4 bytes before tensor 'b' [12, 16)"),
        corrupt("late start", one(entry("a", "F32", "[1]", 4, 8)), "4 bytes before tensor 'a'"));
  }

  private static byte[] many() {
    String entries =
        IntStream.range(0, 30)
            .mapToObj(i -> entry("t" + i, "F33", "[1]", 0, 4))
            .collect(Collectors.joining(","));
    return file("{" + entries + "}", new byte[8]);
  }

  private static byte[] one(String entry) {
    return file("{" + entry + "}", new byte[8]);
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }

  private static byte[] utf16(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_16LE);
    return file(bytes.length, bytes, NONE);
  }
}
