"""Writes src/test/resources/dev/kvshare/apply/model/gguf/quantisation.safetensors: random blocks of each
quantised type and what the Python package gguf decodes them to. Run in the module's folder.
The kept file was made with gguf 0.19.0, numpy 2.4.6, safetensors 0.8.0."""

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
from safetensors.numpy import save_file

# Byte offsets of the float16 scales of a block: kept finite, one of them subnormal.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}

random = np.random.default_rng(20)
tensors = {}
for name, offsets in SCALES.items():
    size, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    count = 1024 // size
    blocks = random.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    for offset in offsets:
        scales = random.normal(0, 0.1, count).astype(np.float16)
        scales[0] = np.float16(3e-6)
        blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(count, 2)
    tensors[name + ".blocks"] = blocks
    tensors[name + ".values"] = quants.dequantize(blocks, GGMLQuantizationType[name])
save_file(tensors, "src/test/resources/dev/kvshare/apply/model/gguf/quantisation.safetensors")
