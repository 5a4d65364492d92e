"""Tasks by name and by goal, and those of third parties."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lashley.experiments.errors import UnknownName
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
        ],
    )
    def test_nothing_is_guessed(self, goal: str) -> None:
        assert match(goal) == []

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
