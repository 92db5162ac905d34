"""Numbers hidden in passages of a text, and whether a model finds them again: docs/quality.md, "Windows and sharing at the same number of layers".

    python docs/experiments/passkey.py make emma.txt prompts.txt answers.txt [4]
    ./kvshare apply --model MODEL.gguf --policy POLICY.json --prompts prompts.txt --max-tokens 8 --dtype bfloat16 > out.txt
    python docs/experiments/passkey.py count out.txt answers.txt

The text has a paragraph a line. With 4 there are four numbers under names in a passage, of which one is asked for.
Needs nothing but Python.
"""

import random
import sys

PROMPTS, CHARACTERS, SEED = 20, 4200, 5
NAMES = ["gate", "cellar", "tower", "garden"]


def make(text, prompts, answers, keys=1):
    random.seed(SEED)
    paragraphs = [line.strip() for line in open(text) if len(line) > 250]
    made, found = [], []
    for _ in range(PROMPTS):
        numbers = [str(random.randint(10000, 99999)) for _ in range(keys)]
        start = random.randrange(len(paragraphs) - 40)
        passage = []
        while sum(map(len, passage)) < CHARACTERS:
            passage.append(paragraphs[start])
            start += 1
        for name, number in zip(NAMES, numbers):
            key = "secret pass key" if keys == 1 else f"secret pass key of the {name}"
            place = random.randrange(1, len(passage) - 1) if len(passage) > 2 else 1
            passage.insert(place, f"The {key} is {number}. Remember it: {number} is the {key}.")
        if keys > 1:
            asked = random.randrange(keys)
            key = f"secret pass key of the {NAMES[asked]}"
            found.append(numbers[asked])
        else:
            found.append(numbers[0])
        made.append(" ".join(passage) + f" What is the {key}? The {key} is")
    open(prompts, "w").write("\n".join(made) + "\n")
    open(answers, "w").write("\n".join(found) + "\n")


def count(output, answers):
    completions = [part.split("\n", 1)[1][:60] for part in open(output).read().split(">>> ")[1:]]
    keys = open(answers).read().split()
    print(sum(key in text for key, text in zip(keys, completions)), "of", len(keys))


if __name__ == "__main__":
    if len(sys.argv) in (5, 6) and sys.argv[1] == "make":
        make(*sys.argv[2:5], *map(int, sys.argv[5:]))
    elif len(sys.argv) == 4 and sys.argv[1] == "count":
        count(*sys.argv[2:])
    else:
        sys.exit(__doc__)
