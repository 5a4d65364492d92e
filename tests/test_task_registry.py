"""Tasks by name and by goal, and those of third parties."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lashley.experiments.errors import UnknownName
from lashley.experiments.tasks.formulas import asks_for, formulas_in
from lashley.experiments.tasks.registry import match, task, tasks
from lashley.tests.draw import CARDS, FAMILIES
from lashley.tests.solve import SOLVERS, ranked
from lashley.tests.solved import SOLVED_HERE


class TestRegistry:
    def test_names(self) -> None:
        assert set(FAMILIES) == {*SOLVERS, *SOLVED_HERE}
        assert len(CARDS) == len(FAMILIES) + 1 + 4 + 11
        assert all(t.group != "your own" for t in CARDS.values())
        assert all(name == t.name and t.description.count("\n") == 1 for name, t in tasks().items())
        with pytest.raises(UnknownName, match="Did you mean capitals"):
            task("capital")

    @pytest.mark.parametrize(
        ("goal", "best", "words"),
        [
            ("Which layers and heads does SmolLM2 need to add small numbers?", "arithmetic", "add small numbers"),
            ("Where are ADDITIONS done?", "arithmetic", "ADDITIONS"),
            ("the heads for adding", "arithmetic", "adding"),
            ("How does it answer arithmetic questions?", "arithmetic_questions", "arithmetic questions"),
            ("Study multi-step arithmetic.", "multi_step", "multi step arithmetic"),
            ("run multi_step", "multi_step", "multi step"),
            ("Where does it look up the capitals of countries?", "capitals", "capitals countries"),
            ("indirect object identification", "ioi", "indirect object identification"),
            ("How are word problems solved?", "gsm8k", "word problems"),
            ("Which layers follow a syllogism?", "logic", "syllogism"),
        ],
    )
    def test_a_goal_finds_its_task(self, goal: str, best: str, words: str) -> None:
        found, matched = match(goal)[0]
        assert found.name == best
        assert " ".join(matched) == words

    @pytest.mark.parametrize(
        ("goal", "best"),
        [
            ("Which layers and heads does SmolLM2 need to add small numbers?", "arithmetic"),
            ("Which heads does SmolLM2 use to add two digits?", "arithmetic"),
            ("Which heads subtract?", "subtraction"),
            ("Which heads multiply, and how are products made?", "multiplication"),
            ("Where is division done?", "division"),
            ("Add three numbers", "three_operands"),
            ("carrying in the addition of large numbers", "addition"),
            ("the greater-than circuit", "greater_than"),
            ("invalid syllogisms", "syllogisms"),
            ("Does it follow if-rules, and facts and rules?", "rules"),
            ("Is there gender bias in pronouns?", "gender"),
            ("How fluent is it on open prompts?", "open_prompts"),
            ("How does SmolLM2 recall capitals?", "capitals"),
            ("Which heads recall capitals?", "capitals"),
            ("languages of countries", "languages"),
            ("On which continent is a country?", "continents"),
            ("Which country is a city in?", "cities"),
            ("the symbols of chemical elements", "elements"),
            ("Who wrote which book?", "authors"),
            ("Does it know the years of historical events?", "years"),
            ("Which heads are induction heads?", "induction"),
            ("Which heads copy a list of words?", "copying"),
            ("What causes repetition?", "repetition"),
            ("How does it know which of the months comes next?", "successor"),
            ("the k-th smallest number", "kth_smallest"),
            ("Find the docstring circuit", "docstring"),
            ("Which heads match the brackets of JSON?", "json_closing"),
        ],
    )
    def test_many_goals_find_their_tasks(self, goal: str, best: str) -> None:
        assert match(goal)[0][0].name == best

    def test_one_task_for_each_k_is_there_and_not_listed(self) -> None:
        assert "kth_smallest_3" not in tasks()
        for k in (1, 3, 8):
            for p in task(f"kth_smallest_{k}").prompts(200):
                assert ranked(k, p.text) == p.answer

    @pytest.mark.parametrize(
        "goal",
        [
            "",
            "What is the logit difference?",
            "What is the function of attention patterns?",
            "What is the meaning of life?",
            "Compare additional layers",
            "an address in Paddington",
            "Compare layers 3-5 with layers 3 - 5",
            "an A/B test of heads A / B, and models A + B",
            "What is at position n + 1 of the k-th head?",
            "What do GPT-2 and L5-H3 do, and layers 1 + 2?",
            "q + k, attn + mlp, f(x) + b, x + f(x)",
            "C++, **a** + **b**, the x-axis, an a/b test, from a - z",
            "2024 - 10 - 01",
        ],
    )
    def test_nothing_is_guessed(self, goal: str) -> None:
        assert match(goal) == []

    @pytest.mark.parametrize(
        "goal",
        ["a + b mod 7", "(a + b) mod 7 =", "a + b * c =", "a + b + c + d =", "a + b > c", "a ^ b =", "123 - 4 + 5 ="],
    )
    def test_a_formula_that_no_task_asks_for_finds_none(self, goal: str) -> None:
        assert match(goal) == []

    @pytest.mark.parametrize(
        ("goal", "best", "matching"),
        [
            ("Find the layer at which the answer to a + b = is first decodable", "arithmetic", ["a + b"]),
            ("When does it know x - y?", "subtraction", ["x - y"]),
            ("Where is a×b?", "multiplication", ["a×b"]),
            ("3 x 4 =", "multiplication", ["3 x 4"]),
            ("A / B =", "division", ["A / B"]),
            ("a+b+c", "three_operands", ["a+b+c"]),
            ("(a + b) * c =", "multi_step", ["(a + b) * c"]),
            ("How does it compute 2 + 3?", "arithmetic", ["2 + 3"]),
            ("12 + 34 =", "addition", ["12 + 34"]),
            # A formula of the task, and one that it works out on the way.
            ("In a + b + c =, from which layer on is a + b there?", "three_operands", ["a + b + c", "a + b"]),
            ("three_operands: is a+b decodable at b?", "three_operands", ["three", "operands", "a+b"]),
            # A dash is not a minus.
            ("Is a + b - their total - decodable?", "arithmetic", ["a + b"]),
        ],
    )
    def test_a_formula_finds_the_task_that_asks_for_it(self, goal: str, best: str, matching: list[str]) -> None:
        found, words = match(goal)[0]
        assert (found.name, list(words)) == (best, matching)

    def test_formulas_of_cards_are_what_their_prompts_calculate(self) -> None:
        for one in tasks().values():
            for p in one.prompts(100) if one.formulas else ():
                asked = [f for f in formulas_in(p.text.rsplit("\n", 1)[-1]) if p.text.endswith("=")]
                # (1 + 2) + 3 is the sum of three numbers, whose own task comes first.
                assert all(asks_for((*one.formulas, "a + b + c"), f) for f in asked), p.text
                assert asked or not p.text.endswith("="), p.text

    def test_the_card_can_be_shown(self) -> None:
        card = json.loads(task("ioi").model_dump_json())
        assert card["name"] == "ioi"
        assert "source" not in card

    def test_browsing_loads_no_torch(self) -> None:
        code = (
            "import sys; from lashley.experiments.tasks.registry import match, tasks; tasks(); match('add'); "
            "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


PLUGIN = """
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.experiments.tasks.task import Source, Task
from lashley.tests.solve import NEXT, SOLVERS, ranked
from lashley.experiments.tasks.registry import BUILT_IN
COLOURS = BUILT_IN[0].model_copy(update={"name": "colours", "keywords": ("colour",)})
TWICE = BUILT_IN[0]
NOTHING = 3
"""


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("COLOURS", "colours ['colours']"),
        ("TWICE", "The installed task 'arithmetic' (colour_task:TWICE) has the name of another one. Rename it."),
        ("NOTHING", "The entry point colour_task:NOTHING of lashley.tasks must be a Task."),
        ("ABSENT", "The installed task colour_task:ABSENT cannot be loaded"),
    ],
)
def test_third_parties_add_tasks(tmp_path: Path, entry: str, says: str) -> None:
    (tmp_path / "colour_task.py").write_text(PLUGIN)
    info = tmp_path / "colour_task-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: colour-task\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[lashley.tasks]\ncolours = colour_task:{entry}\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from lashley.experiments.errors import BadTask\n"
        "from lashley.experiments.tasks.registry import match, tasks\n"
        "try: print(list(tasks())[-1], [t.name for t, _ in match('colours')])\n"
        "except BadTask as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert says in done.stdout
