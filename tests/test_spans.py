"""Spans cut out what they name."""

from __future__ import annotations

from lashley.tests.draw import CALCULATIONS, drawn


def test_spans_cut_out_what_they_name() -> None:
    for name in ("arithmetic", "arithmetic_questions"):
        for p in drawn(name, "explore"):
            assert (int(p.text[slice(*p.spans["a"])]), int(p.text[slice(*p.spans["b"])])) == p.operands
            assert p.key == "+".join(sorted(map(str, p.operands or ())))
            if "operator" in p.spans:
                assert p.text[slice(*p.spans["operator"])] == "+"
            assert min(p.spans["a"]) >= len(p.text) - len(p.text.splitlines()[-1]) or name != "arithmetic"
    for p in drawn("multi_step", "explore"):
        assert tuple(int(p.text[slice(*p.spans[s])]) for s in "abc") == p.operands
        operators = {p.text[slice(*p.spans[s])] for s in ("operator_1", "operator_2")}
        assert operators <= {"+", "-", "*", "Add", "Subtract", "Multiply by"}
        assert p.spans["a"][0] > p.text.rindex("\n")
    for p in drawn("ioi", "explore"):
        io, s1, s2 = (p.text[slice(*p.spans[s])] for s in ("io", "s1", "s2"))
        assert (f" {io}", f" {s1}") == (p.answer, p.distractor)
        assert s1 == s2
        assert p.spans["s1"][0] < p.spans["s2"][0] == p.text.rindex(s2)
        assert (p.spans["io"] < p.spans["s1"]) == p.template.endswith("abba")
    for p in drawn("capitals", "explore"):
        assert p.text[slice(*p.spans["subject"])] == p.key
        assert p.text[slice(*p.spans["relation"])] == "capital"
    for p in drawn("gsm8k", "explore"):
        assert ",".join(p.text[slice(*p.spans[s])] for s in "abc") == p.key
    for p in drawn("logic", "explore"):
        named = {name: p.text[slice(*span)] for name, span in p.spans.items()}
        assert (named["quantifier"] == "No") == (p.answer == " No")
        deciding = p.text[p.spans["quantifier"][0] :].split(".")[0].split()
        assert deciding[1] == named["middle"]
        assert deciding[-1] == named["predicate"]
        assert f"{named['subject']} " in p.text.split("Question:")[1]


def test_spans_of_the_new_families_cut_out_what_they_name() -> None:
    for name, span in (("induction", "answer"), ("copying", "answer"), ("repetition", "answer"), ("docstring", "c")):
        for p in drawn(name, "explore"):
            assert f" {p.text[slice(*p.spans[span])]}" == p.answer
    for p in drawn("kth_smallest", "explore"):
        assert {f" {p.text[slice(*p.spans[s])]}" for s in ("answer", "distractor")} == {p.answer, p.distractor}
    for name in ("languages", "continents", "cities", "elements", "authors"):
        assert all(p.text[slice(*p.spans["subject"])] == p.key for p in drawn(name, "explore"))
    for p in drawn("json_closing", "explore"):
        assert all(p.text[slice(*span)] in "[{" for span in p.spans.values())
        assert len(p.spans) == len(p.answer)
    for name in CALCULATIONS:
        for p in drawn(name, "explore"):
            assert tuple(int(p.text[slice(*p.spans[part])]) for part in sorted(p.spans)) == p.operands
    for p in drawn("rules", "explore"):
        subject, fact = (p.text[slice(*p.spans[part])] for part in ("subject", "fact"))
        assert fact.startswith(f"{subject} is ")
