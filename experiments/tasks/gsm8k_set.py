"""The dataset GSM8K itself (arXiv 2110.14168): from a JSONL file with `question` and `answer`, or from the Hub.

The answer stands behind `####`. What was reached on the way stands in `<<...=value>>` and makes the distractor, unless
one of the two begins with the other, so that a tokenizer of digits could not tell them apart; where there is nothing
of the kind, it is off by one. None of its texts is part of this program.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ..errors import BadTask
from .letters import normal

DATASET = "openai/gsm8k"
# The names by which the Hub's two parts can be asked for.
PARTS = {"gsm8k_test": "test", "gsm8k_train": "train"}
FINAL = re.compile(r"####\s*([-+]?\$?[\d,]*\.?\d+)\s*$")
REACHED = re.compile(r"=\s*(-?\d+)\s*>>")


def fields(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a prompt from a question with its worked answer. Raises ValueError where no answer stands there."""
    question, worked = given["question"], given["answer"]
    if not isinstance(question, str) or not isinstance(worked, str) or not (final := FINAL.search(worked)):
        raise ValueError("question and answer must be texts, and the answer must end with '#### ' and a number")
    answer = final[1].replace("$", "")
    value = float(answer.replace(",", ""))
    reached = reversed(REACHED.findall(worked))
    wrong = next((number for number in reached if neither_begins_the_other(number, answer)), _whole(value + 1))
    text = f"Question: {' '.join(question.split())}\nAnswer:"
    return {"text": text, "answer": f" {answer}", "distractor": f" {wrong}", "key": text}


def neither_begins_the_other(number: str, answer: str) -> bool:
    """Does neither of two numbers begin with the other, digit by digit? 12 and 120 are not apart; nor are 9 and 9.0."""
    plain = answer.replace(",", "")
    return not number.startswith(plain) and not plain.startswith(number)


def _whole(value: float) -> str:
    return str(int(value)) if value.is_integer() else str(value)


def is_one(given: dict[str, Any]) -> bool:
    """Is this a line of GSM8K?"""
    return "question" in given and "answer" in given and "text" not in given


def from_hub(name: str, dataset: str = DATASET) -> str:
    """The lines of a part of the dataset as JSONL, each question once. Raises `BadTask` with the way out where they
    cannot be had. Another `dataset` is one with the same columns, on the Hub or in a folder."""
    try:
        from datasets import load_dataset  # type: ignore[import-not-found]
        from datasets.exceptions import DatasetsError  # type: ignore[import-not-found]
    except ImportError as error:
        raise BadTask(
            f"'{name}' comes from the Hub through the package datasets, which is not installed; install it with "
            f"`pip install datasets`, or give the dataset's own file as --task {name}.jsonl."
        ) from error
    try:
        rows = load_dataset(dataset, "main", split=PARTS[name])
    except (OSError, ValueError, DatasetsError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise BadTask(f"'{name}' could not be had from the Hub ({said}); give its file as --task FILE.") from error
    # A file's repeated line is its owner's to mend; of a published dataset nobody here can.
    once = {normal(row["question"]): row for row in rows}
    return "\n".join(json.dumps({"question": row["question"], "answer": row["answer"]}) for row in once.values())
