"""Tasks from files of the user's own, and from GSM8K."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from lashley.experiments.errors import BadTask
from lashley.experiments.tasks import gsm8k_set
from lashley.experiments.tasks.from_file import from_file, from_hub, from_jsonl
from lashley.experiments.tasks.prompt import SPLITS, split_of


class TestFiles:
    LINES = tuple({"text": f"{a} plus one is", "answer": f" {a + 1}", "key": str(a)} for a in range(40))

    def written(self, folder: Path, lines: list[str], name: str = "mine.jsonl") -> Path:
        path = folder / name
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    def test_a_file_becomes_a_task(self, tmp_path: Path) -> None:
        path = self.written(tmp_path, [json.dumps(line) for line in self.LINES] + ["", "  "])
        mine = from_file(path)
        assert (mine.name, mine.answer_kind) == ("mine", "number")
        assert sum(mine.capacity(split) for split in SPLITS) == 40
        n = mine.capacity("confirm")
        prompts = mine.prompts(n, "confirm", seed=9)
        assert {p.split for p in prompts} == {"confirm"}
        assert prompts[:3] == mine.prompts(3, "confirm", seed=9)
        assert mine.prompts(n, "confirm", seed=8) != prompts
        assert mine.content is not None
        again = from_jsonl(mine.name, mine.content)
        assert again.prompts(n, "confirm", seed=9) == prompts
        assert again.fingerprint() == mine.fingerprint()
        changed = from_jsonl("mine", mine.content.replace(" 1", " 2", 1))
        assert changed.fingerprint() != mine.fingerprint()

    def test_all_fields_are_taken(self) -> None:
        line = {
            "text": "Ünder the sea is",
            "answer": " sand",
            "distractor": " air",
            "corrupted": "Ünder the sky is",
            "corrupted_answer": " air",
            "spans": {"place": [10, 13]},
            "template": "t",
            "key": "sea",
        }
        mine = from_jsonl("sea", json.dumps(line))
        (p,) = mine.prompts(1, split_of("sea"))
        assert p.model_dump(exclude_defaults=True) == line | {"spans": {"place": (10, 13)}}
        assert p.text[slice(*p.spans["place"])] == "sea"
        assert mine.answer_kind == "word"
        empty = next(s for s in SPLITS if s != split_of("sea"))
        with pytest.raises(BadTask, match=f"has only 0 of .* prompts in its {empty} split .*Add prompts"):
            mine.prompts(1, empty)

    @pytest.mark.parametrize(
        ("answers", "kind"),
        [
            ((" 3", " -1,200", " $4.50"), "number"),
            ((" Yes", " no", " True"), "yes_no"),
            ((" Paris", " New Delhi"), "word"),
            ((" 3", " Paris"), "word"),
            ((" 3 apples", " 3"), "word"),
            (("]}", '"}'), "text"),
            ((" one two three four five",), "text"),
        ],
    )
    def test_the_kind_of_answer_is_seen(self, answers: tuple[str, ...], kind: str) -> None:
        lines = "\n".join(json.dumps({"text": f"{i}:", "answer": a}) for i, a in enumerate(answers))
        mine = from_jsonl("mine", lines)
        assert mine.answer_kind == kind
        assert mine.max_new_tokens > max(len(a.encode()) for a in answers)

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ('{"text": "a", "answer": " b"', r"line 2: not JSON \(Expecting ',' delimiter at column 29\)"),
            ('["a", "b"]', "line 2: not an object"),
            ('{"text": ' + "9" * 5000 + "}", "line 2: a number or nesting that is too large"),
            ('{"text": "\\ud800", "answer": " b"}', "line 2: Invalid JSON"),
            ('{"question": "a", "answer": "12"}', "line 2: question and answer must be texts.*'#### ' and a number"),
            ('{"answer": " b"}', "line 2, field 'text': missing"),
            ('{"text": "a"}', "line 2, field 'answer': missing"),
            ('{"text": 3, "answer": " b"}', "line 2, field 'text': Input should be a valid string"),
            ('{"text": "a is", "answer": ""}', "line 2: answer is empty"),
            ('{"text": "a", "answer": " b", "distractor": " b"}', "line 2: distractor is the same as the answer"),
            ('{"text": "a", "answer": " b", "anser": " b"}', "line 2, field 'anser': .* did you mean 'answer'"),
            ('{"text": "a", "answer": " b", "split": "explore"}', "line 2, field 'split': .*remove the field"),
            ('{"text": "a", "answer": "", "open": true}', "line 2, field 'open': .*remove the field"),
            ('{"text": "a", "answer": " b", "spans": {"s": [0, 9]}}', "line 2: span s .* outside the text"),
            ('{"text": "a", "answer": " b", "spans": {"s": ["0", 1]}}', r"line 2, field 'spans.s.0': "),
            ('{"text": "The capital is", "answer": "Rome"}', "'isRome'; start it with a space"),
            ('{"text": "a is ", "answer": "b"}', "line 2: text is blank or ends with a blank"),
            ('{"text": "0 plus one is", "answer": " 4"}', "line 2: the same text as in line 1"),
        ],
    )
    def test_a_fault_is_told_with_its_line(self, line: str, says: str) -> None:
        with pytest.raises(BadTask, match=says) as caught:
            from_jsonl("mine", json.dumps(self.LINES[0]) + "\n" + line)
        assert "\n" not in str(caught.value)

    def test_a_file_that_is_none_is_refused(self, tmp_path: Path) -> None:
        good = json.dumps(self.LINES[0])
        with pytest.raises(BadTask, match="There is no task file"):
            from_file(tmp_path / "absent.jsonl")
        with pytest.raises(BadTask, match="cannot be read"):
            from_file(tmp_path)
        with pytest.raises(BadTask, match="no prompts"):
            from_file(self.written(tmp_path, ["", " "], "empty.jsonl"))
        with pytest.raises(BadTask, match="not a valid task name"):
            from_file(self.written(tmp_path, [good], "two words.jsonl"))
        with pytest.raises(BadTask, match="there is already"):
            from_file(self.written(tmp_path, [good], "ioi.jsonl"))
        (tmp_path / "latin.jsonl").write_bytes(
            good.replace("plus", "plüs").encode("latin-1").replace(b"\\u00fc", b"\xfc")
        )
        with pytest.raises(BadTask, match="UTF-8"):
            from_file(tmp_path / "latin.jsonl")

    def test_lines_of_gsm8k_are_taken_as_they_are(self) -> None:
        lines = [
            {"question": "Ann has 3 bags of 4.\nShe eats 2?", "answer": "3*4=<<3*4=12>>12\n<<12-2=10>>10\n#### 10"},
            {"question": "How much is 2000 and 1?", "answer": "#### 2,001"},
            {"question": "A loss of 5?", "answer": "#### -$5"},
        ]
        mine = from_jsonl("gsm", "\n".join(map(json.dumps, lines)))
        got = {p.answer: p for split in SPLITS for p in mine.source.stream(split, 0)}
        assert mine.answer_kind == "number"
        assert got[" 10"].text == "Question: Ann has 3 bags of 4. She eats 2?\nAnswer:"
        assert [got[answer].distractor for answer in (" 10", " 2,001", " -5")] == [" 12", " 2002", " -4"]

    def test_the_hub_is_asked_only_where_its_package_is(self) -> None:
        if importlib.util.find_spec("datasets") is not None:
            pytest.skip("datasets is installed here")
        with pytest.raises(BadTask, match="pip install datasets"):
            from_hub("gsm8k_test")

    def test_a_distractor_is_not_the_beginning_of_the_answer(self) -> None:
        """Where digits are tokens, 12 and 120 could not be told apart."""
        worked = {" 120": "<<3*4=12>>12\n<<12*10=120>>120", " 5": "<<100/2=50>>50\n<<50/10=5>>5", " 9": "<<90/10=9>>9"}
        worked[" 1,200"] = "<<30*40=1200>>1200\n<<10*12=120>>120"
        lines = [{"question": f"How many{a}?", "answer": f"{w}\n####{a}"} for a, w in worked.items()]
        mine = from_jsonl("gsm", "\n".join(map(json.dumps, lines)))
        got = {p.answer: p.distractor for split in SPLITS for p in mine.source.stream(split, 0)}
        assert got == {" 120": " 121", " 5": " 6", " 9": " 10", " 1,200": " 1201"}

    def test_the_hub_dataset_is_read_by_its_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """From a folder that is laid out as the dataset is on the Hub, with a question that stands there twice."""
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        rows = [{"question": f"Ann has {i} bags of 4. How many?", "answer": f"<<{i}*4={i * 4}>>\n#### {i * 4}"}
                for i in (*range(2, 30), 2)]  # fmt: skip
        folder = tmp_path / "gsm8k"
        (folder / "main").mkdir(parents=True)
        for part in ("train", "test"):
            datasets.Dataset.from_list(rows).to_parquet(str(folder / "main" / f"{part}-00000-of-00001.parquet"))
        files = "".join(f"  - split: {part}\n    path: main/{part}-*\n" for part in ("train", "test"))
        (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: main\n  data_files:\n{files}---\n")
        mine = from_jsonl("gsm8k_test", gsm8k_set.from_hub("gsm8k_test", str(folder)))
        got = {p.text: p.answer for split in SPLITS for p in mine.source.stream(split, 0)}
        assert len(got) == 28
        assert got["Question: Ann has 3 bags of 4. How many?\nAnswer:"] == " 12"
        with pytest.raises(BadTask, match=r"cannot be downloaded from the Hub .*Give its file as --task"):
            gsm8k_set.from_hub("gsm8k_test", str(tmp_path / "absent"))

    def test_windows_lines_and_a_byte_order_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "windows.jsonl"
        path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(json.dumps(line) for line in self.LINES).encode())
        assert sum(from_file(path).capacity(split) for split in SPLITS) == 40
