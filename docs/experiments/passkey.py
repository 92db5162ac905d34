"""Numbers hidden in passages of a text, and whether a model finds them again: docs/quality.md, "Windows and sharing at the same number of layers".

    python docs/experiments/passkey.py make emma.txt prompts.txt answers.txt
    ./kvshare apply --model MODEL.gguf --policy POLICY.json --prompts prompts.txt --max-tokens 8 --dtype bfloat16 > out.txt
    python docs/experiments/passkey.py count out.txt answers.txt

The text has a paragraph a line. Needs nothing but Python.
"""

import random
import sys

PROMPTS, CHARACTERS, SEED = 20, 4200, 5


def make(text, prompts, answers):
    random.seed(SEED)
    paragraphs = [line.strip() for line in open(text) if len(line) > 250]
    made, keys = [], []
    for _ in range(PROMPTS):
        key = str(random.randint(10000, 99999))
        start = random.randrange(len(paragraphs) - 40)
        passage = []
        while sum(map(len, passage)) < CHARACTERS:
            passage.append(paragraphs[start])
            start += 1
        place = random.randrange(1, len(passage) - 1) if len(passage) > 2 else 1
        passage.insert(place, f"The secret pass key is {key}. Remember it: {key} is the secret pass key.")
        made.append(" ".join(passage) + " What is the secret pass key? The secret pass key is")
        keys.append(key)
    open(prompts, "w").write("\n".join(made) + "\n")
    open(answers, "w").write("\n".join(keys) + "\n")


def count(output, answers):
    completions = [part.split("\n", 1)[1][:60] for part in open(output).read().split(">>> ")[1:]]
    keys = open(answers).read().split()
    print(sum(key in text for key, text in zip(keys, completions)), "of", len(keys))


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "make":
        make(*sys.argv[2:])
    elif len(sys.argv) == 4 and sys.argv[1] == "count":
        count(*sys.argv[2:])
    else:
        sys.exit(__doc__)
