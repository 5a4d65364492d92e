"""The dataset GSM8K itself (arXiv 2110.14168): from a JSONL file with `question` and `answer`, or from the Hub.

The answer follows `####`. An intermediate result in `<<...=value>>` is the distractor, unless one of the two starts
with the other, so that a tokenizer of digits could not separate them; without one, the distractor is off by one. This
program contains none of its texts.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ..errors import BadTask
from .letters import normal

DATASET = "openai/gsm8k"
# The names of the Hub's two parts.
PARTS = {"gsm8k_test": "test", "gsm8k_train": "train"}
FINAL = re.compile(r"####\s*([-+]?\$?[\d,]*\.?\d+)\s*$")
REACHED = re.compile(r"=\s*(-?\d+)\s*>>")


def fields(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a prompt from a question with its worked answer. Raises ValueError if it has no answer."""
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
    """Whether neither of two numbers starts with the other, digit by digit, as 120 with 12, and 9.0 with 9."""
    plain = answer.replace(",", "")
    return not number.startswith(plain) and not plain.startswith(number)


def _whole(value: float) -> str:
    return str(int(value)) if value.is_integer() else str(value)


def is_one(given: dict[str, Any]) -> bool:
    """Whether this is a line of GSM8K."""
    return "question" in given and "answer" in given and "text" not in given


def from_hub(name: str, dataset: str = DATASET) -> str:
    """The lines of a part of the dataset as JSONL, each question once. Raises `BadTask` if they are not available.
    `dataset` may name another one with the same columns, on the Hub or in a folder."""
    try:
        from datasets import load_dataset  # type: ignore[import-not-found]
        from datasets.exceptions import DatasetsError  # type: ignore[import-not-found]
    except ImportError as error:
        raise BadTask(
            f"'{name}' needs the package datasets to download it from the Hub. Run `pip install datasets`, or give "
            f"the dataset's own file with --task {name}.jsonl."
        ) from error
    try:
        rows = load_dataset(dataset, "main", split=PARTS[name])
    except (OSError, ValueError, DatasetsError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise BadTask(f"'{name}' cannot be downloaded from the Hub ({said}). Give its file as --task.") from error
    # The owner of a file can remove a repeated line; nobody here can change a published dataset.
    once = {normal(row["question"]): row for row in rows}
    return "\n".join(json.dumps({"question": row["question"], "answer": row["answer"]}) for row in once.values())
