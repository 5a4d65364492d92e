"""A small causal model of a task, as data: a variable that is computed from named values, and the answer from both.

"s = a + b" and "s + c" say that a model first adds a and b, and then c. An expression is arithmetic over values that
are numbers (see `expression`), or the name of one value, whose text it is. If the variable is set to what it is in
another prompt, the causal model gives the counterfactual answer (interchange interventions: Geiger et al. 2021,
arXiv 2106.02997).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..errors import BadConfiguration
from ..result import Frozen
from .expression import NoValue, value_of, written
from .prompt import ANSWER, Prompt
from .values import names_of, values_of

DEFINED = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)\s*(\S.*?)\s*", re.DOTALL)
NAME = re.compile(r"[A-Za-z_]\w*")
WHOLE = re.compile(r"-?\d{1,30}")


class CausalModel(Frozen):
    """variable: its name; defined: the expression that computes it from named values; output: the answer from it."""

    variable: str
    defined: str
    output: str

    @property
    def only_variable(self) -> bool:
        """Whether the answer is the variable, so a donor's answer is always the counterfactual answer."""
        return self.output.strip() == self.variable

    def value(self, prompt: Prompt) -> str:
        """The variable in this prompt. Raises BadConfiguration if its values do not give it."""
        return evaluated(self.defined, values_of(prompt), prompt)

    def answer(self, prompt: Prompt, value: str) -> str:
        """The answer to this prompt if the variable has this value. Raises BadConfiguration."""
        return evaluated(self.output, {**values_of(prompt), self.variable: value}, prompt)

    def require(self, prompts: Sequence[Prompt]) -> None:
        """Raises BadConfiguration unless it gives the answer of each of these prompts."""
        for prompt in prompts:
            if self.variable in values_of(prompt):
                raise BadConfiguration(
                    f"The prompts already have a value {self.variable}. Give the variable another name, such as "
                    f"v = {self.defined}."
                )
            found = self.answer(prompt, self.value(prompt))
            if found not in {text.strip() for text in (prompt.answer, *prompt.accepted)}:
                raise BadConfiguration(
                    f"The causal model gives {found!r} for {prompt.text[-60:]!r}, whose answer is "
                    f"{prompt.answer.strip()!r}. Change variable or output so that it gives the answer."
                )


def causal_model(variable: str, output: str) -> CausalModel:
    """Raises BadConfiguration for a text that is not of this form."""
    match = DEFINED.fullmatch(variable)
    if match is None:
        raise BadConfiguration(f"'{variable}' is not a variable. Write its name and how it is computed: s = a + b.")
    if match[1] not in NAME.findall(output):
        raise BadConfiguration(f"The output '{output}' does not use {match[1]}. Write an output that does, such as "
                               f"{match[1]} + c.")  # fmt: skip
    return CausalModel(variable=match[1], defined=match[2], output=output.strip())


def evaluated(expression: str, values: Mapping[str, str], prompt: Prompt) -> str:
    """The text of the value that the expression names, or the number that it computes."""
    if expression in values:
        return values[expression]
    missing = [name for name in NAME.findall(expression) if name not in values and name not in ("abs", "max", "min")]
    if missing:
        known = ", ".join(name for name in names_of([prompt]) if NAME.fullmatch(name) and name != ANSWER)
        raise BadConfiguration(
            f"'{expression}' uses {missing[0]}, which is not a value of {prompt.text[-60:]!r}. Use values of the task: "
            f"{known or 'none'} (agent tasks show lists them)."
        )
    numbers = {name: int(text) for name, text in values.items() if WHOLE.fullmatch(text)}
    try:
        return written(value_of(expression, numbers))
    except NoValue as fault:
        raise BadConfiguration(
            f"'{expression}' cannot be computed for {prompt.text[-60:]!r}: {fault}. Use values that are whole numbers, "
            "or only the name of one value."
        ) from fault
