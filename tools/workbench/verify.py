"""Whether a study's report still matches the record, and whether the record is unchanged.

The tracker is compared with its seals, and the report with one rendered now. A report file is trusted only for the
study, the code and the seal that it names.
"""

from __future__ import annotations

import difflib
import html
import re
from contextlib import closing
from itertools import zip_longest
from pathlib import Path

from ...db import schema
from ...db.errors import SQLITE_ERRORS, explained
from ...db.ids import parse_id
from ...db.location import connect_read_only
from ...db.read.reader import Reader
from ...db.seals import Seals
from ...experiments.result import Frozen
from ..evidence.testing import misjudged
from ..refusals import refused
from ..report.default import source_of
from ..report.render import render_run
from ..report.slots import SlotError, fill, parse
from ..report.study import read_study
from .environment import report_version

_SEAL = r"seal ([0-9a-f]{64}|none)\."
_OPINION = rf"\s+Second opinion (R[0-9]{{1,18}}), {_SEAL}"
_STANDS = re.compile(rf"Study (R[0-9]{{1,18}}), code (\S+), {_SEAL}((?:{_OPINION})*)")
_WIDTH = 100


class Verified(Frozen):
    """The result of a comparison: differences, each one line; remarks, which are not differences; and the names of
    sealed records that are gone."""

    differences: tuple[str, ...] = ()
    gone: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()


class Stands(Frozen):
    """The last line of a report: its study (R3), the code that rendered it and its seal; and the second opinions that
    it shows, each with its seal."""

    run: str
    code: str
    seal: str
    opinions: tuple[tuple[str, str], ...] = ()


def read_stands(file: Path) -> Stands:
    """The last line of a report file. Raises ToolError if the file cannot be read, or names no study."""
    found = _STANDS.search(_words(_text(file)))
    if found is None:
        raise refused("no_report", file=file)
    return Stands(run=found[1], code=found[2], seal=found[3], opinions=tuple(re.findall(_OPINION, found[4])))


def verify_whole(path: Path) -> Verified:
    """`verify_tracker` of all runs."""
    with closing(connect_read_only(path)) as connection:
        try:
            runs = Seals(connection).runs()
        except SQLITE_ERRORS as error:
            raise explained(error, path) from error
    return verify_tracker(path, runs)


def verify_tracker(path: Path, runs: list[int | None]) -> Verified:
    """Check the file itself, every chain of seals, and every record of these runs (None: work by hand)."""
    with closing(connect_read_only(path)) as connection:
        # Anyone may have written bytes that are not text into the file.
        connection.text_factory = _any_text
        try:
            found = [f"the file is damaged: {line}" for (line,) in connection.execute("PRAGMA integrity_check")]
            found = [] if found == ["the file is damaged: ok"] else found
            found += [
                f"row {row} of {table} points to a row of {to} that does not exist"
                for table, row, to, _ in connection.execute("PRAGMA foreign_key_check")
            ]
            found += schema.altered(connection)
            seals = Seals(connection)
            found += seals.check_chains()
            checked = [seals.check(run) for run in dict.fromkeys([*runs, None])]
        except SQLITE_ERRORS as error:
            raise explained(error, path) from error
    found += [line for one in checked for line in one.differences]
    artifacts = sum(one.artifacts for one in checked)
    remarks = [f"{sum(one.seals for one in checked)} sealed records and {artifacts} stored arrays compared"]
    older = sum(one.older for one in checked)
    if older:
        remarks.append(f"{older} records are older than seals and cannot be checked")
    gone = frozenset(name for one in checked for name in one.gone)
    return Verified(differences=tuple(found), remarks=tuple(remarks), gone=gone)


def _any_text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def runs_of(reader: Reader, run: int) -> list[int | None]:
    """The run, its second opinions, the run that it reviews, and those whose experiments any of them used."""
    reviewed = reader.run(run).reviews
    told = [run, *reader.reviews_of(run), *([] if reviewed is None else [parse_id(reviewed)[1]])]
    used = [row.run for one in told for row in reader.experiments(run=one)]
    return list(dict.fromkeys([*told, *(None if one is None else int(one[1:]) for one in used)]))


def verify_report(reader: Reader, run: int, files: list[Path]) -> Verified:
    """Render the report from the tracker, and compare these files (HTML or Markdown) with it."""
    try:
        render_run(reader, run)
    except SlotError as error:
        return Verified(differences=tuple(f"the report cannot be rendered: {line}" for line in error.faults))
    judged = sum(one.judged is not None for h in reader.hypotheses_of(run) for one in h.predictions)
    told = written_by(reader, run)
    remarks = [f"{len(parse(told))} slots of the report filled from the tracker"]
    differences = misjudged(reader, run)
    if judged:
        remarks.append(f"{judged} verdict{'s' * (judged != 1)} on predictions recomputed from the experiments")
    for file in files:
        one = _verify_file(reader, run, file)
        differences += one.differences
        remarks += one.remarks
    return Verified(differences=tuple(differences), remarks=tuple(remarks))


def _verify_file(reader: Reader, run: int, file: Path) -> Verified:
    stands, now = read_stands(file), reader.run(run).seal or "none"
    if stands.run != f"R{run}":
        return Verified(differences=(f"{file} is a report of {stands.run}, not of R{run}",))
    differences: list[str] = []
    remarks: list[str] = []
    sealed = [(run, stands.seal, now)]
    reviews = reader.reviews_of(run)
    for name, seal in stands.opinions:
        number = parse_id(name)[1]
        if number not in reviews:
            return Verified(differences=(f"{file} shows {name} as a second opinion on R{run}, which it is not",))
        sealed.append((number, seal, reader.run(number).seal or "none"))
    with closing(connect_read_only(reader.path)) as connection:
        broken = [(of, seal) for of, seal, last in sealed if seal != last and not Seals(connection).holds(of, seal)]
    in_chain, ended = not broken, all(seal == last for _, seal, last in sealed)
    for of, seal in broken:
        differences.append(
            f"{file}: its seal {seal[:12]} is not in the chain of R{of}: the record has changed since, or the "
            "report comes from another tracker"
        )
    shown = [number for number, _, _ in sealed[1:]]
    report = render_run(reader, run, shown)
    since = [one for one in reviews if one not in shown and reader.run(one).status != "running"]
    if since:
        remarks.append(
            f"{file} was written before {' and '.join(f'R{one}' for one in since)} reviewed R{run}; "
            f"`agent report R{run}` rewrites it"
        )
    rendered = report.markdown if file.suffix == ".md" else report.html
    changed = _lines(file, _text(file), rendered.replace(report_version(), stands.code))
    if file.suffix == ".md":
        for stem, svg in report.figures.items():
            figure = file.parent / "figures" / f"{stem}.svg"
            changed += _lines(figure, _text(figure), svg) if figure.exists() else [f"{figure} is missing"]
    if changed and not ended and in_chain:
        remarks.append(f"{file} was written before its study had ended; `agent report R{run}` rewrites it")
    if changed and stands.code != report_version():
        remarks.append(
            f"{file} was written by code {stands.code}, and this is {report_version()}, which may word or draw it "
            f"differently; `agent report R{run}` rewrites it"
        )
        changed = [*_missing_values(reader, run, file), *changed]
    if not changed and in_chain:
        remarks.append(f"{file} matches, to the letter, the report that the tracker renders now")
    return Verified(differences=(*differences, *changed), remarks=tuple(remarks))


def _missing_values(reader: Reader, run: int, file: Path) -> list[str]:
    """The slots whose value is nowhere in the file, whatever the words around it."""
    study, words = read_study(reader, run), _words(_text(file))
    filled = [(slot.text, fill(slot, study)) for slot in parse(source_of(reader, run)) if not slot.block]
    return [
        f"{file}: {text} is {value.text}, which the file does not contain"
        for text, value in filled
        if value.text not in words
    ]


def _lines(file: Path, there: str, rendered: str) -> list[str]:
    """Every line in which a file differs from the rendered text."""
    old, new = there.split("\n"), rendered.split("\n")
    found: list[str] = []
    for tag, a, b, c, d in _changes(old, new):
        if tag == "equal":
            continue
        for number, (is_, should) in enumerate(zip_longest(old[a:b], new[c:d]), start=a + 1):
            at = f"{file}, line {number}"
            if is_ is None:
                found.append(f"{at}: {_cut(should, '')} is missing")
            elif should is None:
                found.append(f"{at}: {_cut(is_, '')} should not be there")
            else:
                found.append(f"{at}: it says {_cut(is_, should)} and should say {_cut(should, is_)}")
    return found


def _changes(old: list[str], new: list[str]) -> list[tuple[str, int, int, int, int]]:
    if len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [("replace", i, i + 1, i, i + 1) for i, (one, other) in pairs if one != other]
    return list(difflib.SequenceMatcher(None, old, new).get_opcodes())


def _cut(text: str, other: str) -> str:
    """The part of a line that differs from the other."""
    same = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    start = max(0, same - 30)
    piece = text[start : start + _WIDTH]
    return repr(("…" if start else "") + piece + ("…" if start + _WIDTH < len(text) else ""))


def _words(text: str) -> str:
    """The words of HTML or Markdown that a reader sees, without markup."""
    return re.sub(r"[`\\*]", "", html.unescape(re.sub(r"</?[A-Za-z!][^<>]*>", "", text)))


def _text(file: Path) -> str:
    try:
        # Exact bytes: a changed line end is a change.
        return file.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise refused("unreadable", file=file, why=error.strerror) from error


def written_by(reader: Reader, run: int) -> str:
    """Everything that the writer of the report wrote: the text, and the claims with their conditions."""
    latest = reader.latest_report(run)
    # A review comments on the claims of another study.
    claims = [] if latest is None else [
        line
        for c in latest.claims if "type" not in c  # the program writes the sentences of typed claims
        for line in (c.get("sentence") or c["comment"], *c["conditions"])
    ]  # fmt: skip
    return "\n".join([source_of(reader, run), *claims])


def cited(reader: Reader, run: int) -> list[int]:
    """The finished experiments behind the report: those that it names, and those behind the hypotheses that it
    names."""
    study = read_study(reader, run)
    named = re.findall(r"\b[EHC][0-9]{1,18}\b", written_by(reader, run))
    named += [study.circuits[one].experiment for one in named if one in study.circuits]
    behind = [
        e for one in named if one in study.hypotheses for v in study.hypotheses[one].events for e in v.experiments
    ]
    again = [one for review in study.reviews for one in cited(reader, parse_id(review.run.id)[1])]
    return sorted({*again, *(int(one[1:]) for one in [*named, *behind] if one in study.finished)})
