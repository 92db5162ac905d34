"""Makes the small tokenizers of src/test/resources/tokenizers and their reference ids.

Each folder holds an ordinary `tokenizer.json` (the kinds that real models use, trained on the test
texts), `gguf.json` (the metadata that llama.cpp's converter would store for it) and `cases.json`
(what the Python library `tokenizers` gives for every text of `texts.json`).

Recorded with tokenizers 0.23.3 and transformers 5.23.0. Run in this folder: python make_tokenizers.py
"""

import json
import pathlib
import shutil

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers import processors, trainers
from transformers.tokenization_utils_base import generate_merges

OUT = pathlib.Path(__file__).parent.parent / "resources" / "tokenizers"

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "Hello world! 123 4567 89,012.345 -0.5e10 2026-11-23 x1y2z3",
    "def f(x):\n    if x > 10:\n\t\treturn [i**2 for i in range(x)]  # squares\n\n\n    return None\n",
    "Café déjà vu, naïve façade: Ünïcödé — “quotes” ‘single’ … ½ Ⅷ ²",
    "e\u0301 (decomposed) vs \u00e9 (composed), A\u030a vs \u00c5",
    "Emoji: 😀 👩‍👩‍👧‍👦 🇩🇪 ❤️ 👍🏽 done",
    "中文字符和日本語のテキスト、한국어도 있습니다。Русский текст; عربى; हिन्दी; ไทย",
    "a" + " " * 40 + "b" + " " * 3 + "c  d",
    "tabs\t\t\tand\n\n\n\n\nnewlines\r\n\r\nand   trailing   ",
    "  leading spaces and trailing newline\n",
    " ",
    "",
    "\n",
    "I'm you're he'll we've they'd it's don't CAN'T I'LL 'quoted'",
    "{\"key\": [1, 2.5, null], \"nested\": {\"a-b\": \"c_d\"}} <html attr='x'>&amp;</html>",
    "!!!??? ... --- === ### $100 50% a@b.c C:\\path\\file /usr/bin",
    "control \u0001 char, zero width \u200b space, nbsp \u00a0 here, ideographic\u3000space",
    "before <|im_start|>user\nhi<|im_end|> after <s> and </s> <think>x</think>",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "▁ lower one eighth block ▁▁ Ġ Ċ",
]

GPT4_STYLE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level():
    return pre.ByteLevel(add_prefix_space=False, use_regex=False)


def split(pattern):
    return pre.Split(Regex(pattern), "isolated")


def gpt2_regex():
    return pre.ByteLevel(add_prefix_space=False, use_regex=True)


BYTE_LEVEL = {
    "gpt-2": (None, gpt2_regex(), False),
    "smollm": (None, pre.Sequence([pre.Digits(individual_digits=True), gpt2_regex()]), False),
    "llama-bpe": (None, pre.Sequence([split(GPT4_STYLE % "{1,3}"), byte_level()]), True),
    "qwen2": (normalizers.NFC(), pre.Sequence([split(GPT4_STYLE % ""), byte_level()]), False),
    "falcon": (
        None,
        pre.Sequence(
            [
                pre.Punctuation("contiguous"),
                gpt2_regex(),
                pre.Digits(individual_digits=False),
                split("[0-9][0-9][0-9]"),
            ]
        ),
        False,
    ),
    "deepseek-coder": (
        None,
        pre.Sequence(
            [
                split("[\r\n]"),
                split(r"\s?\p{L}+"),
                split(r"\s?\p{P}+"),
                split("[一-龥ࠀ-一가-퟿]+"),
                pre.Digits(individual_digits=True),
                byte_level(),
            ]
        ),
        False,
    ),
}


def make_byte_level(name):
    normalizer, pre_tokenizer, ignore_merges = BYTE_LEVEL[name]
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        show_progress=False,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.add_tokens([AddedToken("<think>", normalized=False, special=False)])
    bos = tokenizer.token_to_id("<|im_start|>")
    adds_bos = name == "llama-bpe"
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[("<|im_start|>", bos)]
        )
    metadata = {"model": "gpt2", "pre": name, "bos": bos, "eos": bos + 1, "add_bos": adds_bos}
    save(name, tokenizer, metadata)


def make_sentencepiece(name, space_prefix, gemma):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", "▁")
    prepend = [normalizers.Prepend("▁")] if space_prefix else []
    tokenizer.normalizer = normalizers.Sequence(prepend + [replace]) if prepend else replace
    if gemma:
        tokenizer.pre_tokenizer = pre.Split(" ", "merged_with_previous")
    strip = [decoders.Strip(" ", 1, 0)] if space_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()] + strip
    )
    specials = ["<pad>", "<eos>", "<bos>", "<unk>"] if gemma else ["<unk>", "<s>", "</s>"]
    bytes_ = ["<0x%02X>" % b for b in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        show_progress=False,
        special_tokens=specials + bytes_,
        limit_alphabet=70,
        max_token_length=12,
    )
    # Train word by word as SentencePiece does: a piece never crosses a word border.
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre.Metaspace(prepend_scheme="always" if space_prefix else "never")
    trained.train_from_iterator(TEXTS * 3, trainer)
    vocab = json.loads(trained.to_str())["model"]["vocab"]
    for length in (2, 3, 4, 8, 16):
        vocab.setdefault("▁" * length, len(vocab))
    # SentencePiece stores a score a piece, falling with the order in which training found them.
    scores = {token: -float(index) for token, index in vocab.items()}
    tokenizer.model = models.BPE(
        vocab=vocab,
        merges=generate_merges(vocab, scores, skip_tokens=specials + bytes_),
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in specials]
    )
    bos_token = "<bos>" if gemma else "<s>"
    bos = tokenizer.token_to_id(bos_token)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=bos_token + " $A", special_tokens=[(bos_token, bos)]
    )
    eos = tokenizer.token_to_id("<eos>" if gemma else "</s>")
    unk = tokenizer.token_to_id("<unk>")
    metadata = {
        "model": "llama",
        "pre": "default",
        "bos": bos,
        "eos": eos,
        "unk": unk,
        "add_bos": True,
        "add_space_prefix": space_prefix,
    }
    save(name, tokenizer, metadata)


def token_types(tokenizer, root):
    added = {token["id"]: token for token in root["added_tokens"]}
    types = []
    for index in range(tokenizer.get_vocab_size()):
        token = tokenizer.id_to_token(index)
        if token == "<unk>":
            types.append(2)
        elif index in added:
            types.append(3 if added[index]["special"] else 4)
        elif len(token) == 6 and token.startswith("<0x"):
            types.append(6)
        else:
            types.append(1)
    return types


def save(name, tokenizer, metadata):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    root = json.loads(tokenizer.to_str())
    (folder / "tokenizer.json").write_text(
        json.dumps(root, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8"
    )
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    merges = [" ".join(merge) for merge in root["model"]["merges"]]
    metadata["tokens"] = tokens
    metadata["types"] = token_types(tokenizer, root)
    if metadata["model"] == "gpt2":
        metadata["merges"] = merges
    else:
        metadata["scores"] = [-float(i) for i in range(len(tokens))]
    write(folder / "gguf.json", metadata)
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    write(
        folder / "cases.json",
        {
            "ids": ids,
            "ids_with_special": [tokenizer.encode(text).ids for text in TEXTS],
            "decoded": [tokenizer.decode(i, skip_special_tokens=False) for i in ids],
            "decoded_without_special": [tokenizer.decode(i, skip_special_tokens=True) for i in ids],
            "ids_literal": [literal(tokenizer, text) for text in TEXTS],
        },
    )


def literal(tokenizer, text):
    tokenizer.encode_special_tokens = True
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    return ids


def write(file, value):
    file.write_text(
        json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8"
    )


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    write(OUT / "texts.json", TEXTS)
    for name in BYTE_LEVEL:
        make_byte_level(name)
    make_sentencepiece("llama-spm", space_prefix=True, gemma=False)
    make_sentencepiece("gemma-spm", space_prefix=False, gemma=True)


if __name__ == "__main__":
    main()
