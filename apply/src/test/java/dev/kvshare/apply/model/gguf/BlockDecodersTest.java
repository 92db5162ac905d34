package dev.kvshare.apply.model.gguf;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import java.net.URISyntaxException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class BlockDecodersTest {
  private static final String GOLDEN = "/dev/kvshare/apply/model/gguf/quantisation.safetensors";

  @ParameterizedTest
  @EnumSource(
      value = DataType.class,
      names = {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"})
  void decodesAsTheReferenceToTheLastBit(DataType type) throws URISyntaxException {
    Path golden = Path.of(BlockDecodersTest.class.getResource(GOLDEN).toURI());
    try (SafetensorsFile file = SafetensorsFile.open(golden)) {
      ByteBuffer stored = file.bytes(type + ".blocks", DataType.U8);
      FloatBuffer expected = file.bytes(type + ".values", DataType.F32).asFloatBuffer();
      byte[] blocks = new byte[stored.remaining()];
      stored.get(blocks);
      float[] values = new float[expected.remaining()];
      BlockDecoders.of(type).decode(blocks, blocks.length / type.blockBytes(), values);
      assertEquals(1024, values.length);
      for (int i = 0; i < values.length; i++) {
        assertEquals(expected.get(i), values[i], 0, type + ", value " + i);
      }
    }
  }
}
