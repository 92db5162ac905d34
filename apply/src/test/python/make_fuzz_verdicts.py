"""What the Python readers make of the inputs of ParsersFuzzTest, for DifferentialTest.

Recorded with safetensors 0.8.0, gguf 0.19.0, tokenizers 0.23.3, transformers 5.24.0 and jinja2 3.1.6. Run in this folder:

    python make_fuzz_verdicts.py                 the inputs of the build: writes ../resources/dev/kvshare/apply/fuzz/verdicts.json
    python make_fuzz_verdicts.py FOLDER          other inputs, FOLDER/KIND/*: writes FOLDER/verdicts.json
"""

import hashlib
import json
import pathlib
import signal
import sys
import tempfile
import warnings

import fixed_clock
import gguf
import safetensors
import tokenizers
from transformers.utils.chat_template_utils import render_jinja_template

RESOURCES = pathlib.Path(__file__).parent.parent / "resources/dev/kvshare/apply/fuzz"
# The reader of GGUF files believes any length.
SECONDS = 3
TEXT = "Grüße, 12345 words\n\n  it's"
CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Grüße, is 3 < 4?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": ""},
]

# The date that a template asks for, as in Parsers.
fixed_clock.set_to(2026, 11, 23, 15, 4, 5)


def sha(data):
    return hashlib.sha256(bytes(data)).hexdigest()[:16]


def read_safetensors(data):
    """Each tensor's name, and the digest of its bytes."""
    return dict(sorted((name, sha(tensor["data"])) for name, tensor in safetensors.deserialize(data)))


def read_gguf(data):
    """The digests of the tensors' bytes, sorted: kvshare names them as the Hugging Face checkpoint does."""
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(data)
        file.flush()
        return sorted(sha(tensor.data.tobytes()) for tensor in gguf.GGUFReader(file.name).tensors)


def read_json(data, encoding="utf-8"):
    """Nothing but whether it is JSON, as transformers reads configurations."""
    json.loads(data.decode(encoding))
    return "json"


def read_tokenizer(data):
    """The ids of a text."""
    return tokenizers.Tokenizer.from_str(data.decode("utf-8")).encode(TEXT).ids


def read_template(data):
    """What a conversation becomes."""
    rendered, _ = render_jinja_template(
        conversations=[CONVERSATION],
        chat_template=data.decode("utf-8", "replace"),
        add_generation_prompt=True,
        bos_token="<s>",
        eos_token="</s>",
    )
    return rendered[0]


READERS = {
    "safetensors": read_safetensors,
    "gguf": read_gguf,
    "configuration": read_json,
    # A mark of the byte order may stand before a policy.
    "policy": lambda data: read_json(data, "utf-8-sig"),
    "tokenizer": read_tokenizer,
    "template": read_template,
}


def out_of_time(*_):
    raise TimeoutError(f"no end in {SECONDS} s")


def verdict(kind, data):
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(SECONDS)
    try:
        return {"read": READERS[kind](data)}
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as e:  # a panic of Rust is no Exception
        return {"refused": f"{type(e).__name__}: {e}"[:120]}
    finally:
        signal.alarm(0)


def main():
    inputs = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else RESOURCES / "ParsersFuzzTestInputs"
    out = inputs / "verdicts.json" if len(sys.argv) > 1 else RESOURCES / "verdicts.json"
    warnings.simplefilter("ignore")
    verdicts = {
        kind: {file.name: verdict(kind, file.read_bytes()) for file in sorted((inputs / kind).iterdir())}
        for kind in READERS
        if (inputs / kind).is_dir()
    }
    out.write_text(json.dumps(verdicts, indent=1, ensure_ascii=True) + "\n")
    for kind, found in verdicts.items():
        print(kind, len(found), "inputs,", sum("read" in one for one in found.values()), "read")


main()
