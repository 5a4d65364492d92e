"""A report: the writer's text with its slots filled, and around it what only the program may say.

Who ran the study, every experiment including failed ones, how each was done, how many comparisons were made,
the limitations, and how to rerun everything come from the tracker, whatever the writer wrote.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...db.read.reader import Reader
from ...experiments.result import Frozen
from ..claims.claim import Finding
from ..errors import CannotWrite
from ..evidence.review.reviewed import opinion_view
from . import prose
from .beside import annotated, found_in, verdicts_on
from .check import all_faults
from .claims import Claim, check_claim, sentences
from .drawn import Drawn, draw_figures
from .escape import markdown_code, markdown_text, one_line, visible
from .shown import Shown
from .slots import Filled, Slot, SlotError, fill
from .study import Study, read_study
from .view import report_view

_HERE = Path(__file__).parent
SCRIPT = (_HERE / "page.js").read_text(encoding="utf-8")
_SHA256 = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
# Only the page's own script runs, identified by its hash, and the page requests nothing.
POLICY = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_SHA256}'; img-src data:"


class Report(Frozen):
    """The same report in several forms. `front` is the Markdown without its appendix on each experiment; `finished`
    maps each finished experiment to whether it has effects; `figures` maps a file's stem ("E12-heads") to its SVG."""

    title: str
    markdown: str
    front: str
    finished: dict[str, bool]
    html: str
    figures: dict[str, str]


class _Raw(str):
    """Text that is meant as Markdown; a Markdown template escapes everything else."""


@cache
def _html_templates() -> Environment:
    loader = FileSystemLoader(_HERE)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def _markdown_templates() -> Environment:
    def shown(value: Any) -> str:
        return value if isinstance(value, _Raw) else markdown_text(str(value))

    loader = FileSystemLoader(_HERE)
    # `finalize` does for Markdown what autoescape does for HTML.
    templates = Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=shown, autoescape=False
    )
    filters: dict[str, Callable[[object], _Raw]] = {"raw": _raw, "code": _code, "code_cell": _code_cell}
    templates.filters.update(filters)  # pyright: ignore[reportUnknownMemberType]
    return templates


def _raw(text: object) -> _Raw:
    return _Raw(text)


def _code(text: object) -> _Raw:
    return _Raw(markdown_code(str(text)))


def _code_cell(text: object) -> _Raw:
    return _Raw(markdown_code(str(text), cell=True))


def render(
    source: str,
    reader: Reader,
    run: int,
    methods: Mapping[str, str] | None = None,
    claims: Sequence[Claim] = (),
    reviews: Sequence[int] | None = None,
) -> Report:
    """The report of a run from the writer's source, which is a title (`# ...`) and text with slots (either may be
    empty), and from the claims; with the second opinions in `reviews`, or all that have ended.

    `methods` describes each kind of experiment in a few words. Raises SlotError with every fault that `check`
    finds, and NoSuchId when there is no such run.
    """
    study, source = read_study(reader, run, reviews), visible(source)
    claims = [claim.model_copy(update={"sentence": visible(claim.sentence)}) for claim in claims]
    wrong = all_faults(source, study, claims)
    if wrong:
        raise SlotError(*wrong)
    title, text = prose.split_title(source)
    found = found_in(study)
    view, figures = report_view(study, methods or {}, found), draw_figures(study)
    findings = claims_shown(claims, study, found)
    view["claims"] = findings
    text = text if study.run.llm is None else annotated(text, found)
    inside = study.reviewed is not None
    view["opinions"] = [opinion_view(one, inside) for one in ((study,) if inside else study.reviews)]
    front, each = _markdown(title, text, study, view, figures, findings)
    return Report(
        title=one_line(study.run.goal),
        markdown=prose.spaced(f"{front}\n\n{each}"),
        front=prose.spaced(front),
        finished={one: bool(study.experiments[one].effects) for one in study.finished},
        html=_html(title, text, study, view, figures),
        figures={figure.stem: figure.svg for figure in figures if figure.svg},
    )


def render_run(reader: Reader, run: int, reviews: Sequence[int] | None = None) -> Report:
    """The report of a run from its writer's source, or the program's default; with these reviews of it, or all."""
    from ..workbench.catalog import kind_texts
    from .default import source_of

    latest = reader.latest_report(run)
    # The claims of a review are verdicts, which have their own form.
    told = latest.claims if latest and reader.run(run).reviews is None else ()
    return render(source_of(reader, run), reader, run, kind_texts(), sentences(told), reviews)


def write(report: Report, folder: Path, **beside: str) -> list[Path]:
    """Write report.md, report.html, figures/*.svg and report.* of `beside` into the folder, which is created if
    needed; return their paths.

    At any instant each file is either the old one or the new one, and none changes before all are on the disk. Raises
    CannotWrite.
    """
    paths = {folder / "figures" / f"{stem}.svg": svg for stem, svg in report.figures.items()}
    texts = {**beside, "md": report.markdown, "html": report.html}
    paths |= {folder / f"report.{ending}": text for ending, text in texts.items()}
    # The process id is in the name, because two processes may write one report.
    parts = {path: path.with_name(f"{path.name}.{os.getpid()}.part") for path in paths}
    try:
        for path, content in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with parts[path].open("w", encoding="utf-8", newline="\n") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        raise CannotWrite(
            folder, error,
            "; nothing in it was changed. The study is kept. Free some space, or name another folder: "
            f"agent report {folder.name} --to FOLDER",
        ) from error  # fmt: skip
    finally:
        for part in parts.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)
    return list(paths)


def _own_title(title: str, study: Study) -> str:
    """The writer's title, unless it equals the goal, which is the heading of the report."""
    goal, said = one_line(study.run.goal), prose.plain(title, filler(study))
    return "" if said.casefold() == goal.casefold() else said


def claims_shown(claims: Sequence[Claim], study: Study, found: Sequence[Finding]) -> list[Shown]:
    """Each claim: its sentence as written, as bare text and as HTML; its conditions with what was found; and what the
    program says about the parts that it names."""
    return [
        {
            "sentence": claim.sentence.strip(),
            "plain": prose.plain(claim.sentence, filler(study)),
            "html": prose.inline_html(claim.sentence.strip(), filler(study)),
            "checked": check_claim(claim, study),
            "beside": [] if study.run.llm is None else verdicts_on(claim.sentence, found),
        }
        for claim in claims
    ]


def filler(study: Study) -> prose.Fill:
    """The function that fills a slot from this study."""

    def filled(slot: Slot) -> Filled:
        return fill(slot, study)

    return filled


class _Blocks:
    """Tables and figures in the order of the page; each figure appears once, and gets its number there."""

    def __init__(self, view: Shown, figures: list[Drawn], parts: Any) -> None:
        self._experiments = {one["id"]: one for one in cast("list[Shown]", view["experiments"])}
        self._figures, self._parts = figures, parts
        self._numbers: dict[str, int] = {}

    def of_slot(self, slot: Slot) -> str:
        if slot.field == "table":
            return str(self._parts.table(self._experiments[slot.of]))
        return self._figure(next(f for f in self._figures if f.of == slot.of and slot.key in (None, f.name)))

    def rest_of(self, experiment: str) -> str:
        """The figures of an experiment that the text has not shown, and references to those that it has."""
        return "\n".join(self._figure(figure) for figure in self._figures if figure.of == experiment)

    def _figure(self, figure: Drawn) -> str:
        again = figure.stem in self._numbers
        place = self._numbers.setdefault(figure.stem, len(self._numbers) + 1)
        return str(self._parts.figure({**figure._asdict(), "number": place, "again": again}))


def _html(title: str, text: str, study: Study, view: Shown, figures: list[Drawn]) -> str:
    templates, filled = _html_templates(), filler(study)
    drawn = [figure._replace(svg=Markup(figure.svg)) for figure in figures]
    blocks = _Blocks(view, drawn, templates.get_template("parts.html.j2").module)

    def figures_of(experiment: str) -> Markup:
        return Markup(blocks.rest_of(experiment))

    return templates.get_template("report.html.j2").render(
        view,
        title=one_line(study.run.goal),
        heading=one_line(study.run.goal),
        reading_title=prose.inline_html(title, filled) if _own_title(title, study) else "",
        body=prose.to_html(text, filled, blocks.of_slot),
        figures_of=figures_of,
        policy=POLICY,
        script=Markup(SCRIPT),
        style=Markup((_HERE / "report.css").read_text(encoding="utf-8")),
    )


def _markdown(
    title: str, text: str, study: Study, view: Shown, figures: list[Drawn], findings: list[Shown]
) -> tuple[str, str]:
    """The report, and its appendix on each experiment, which shows the figures that the report does not."""
    templates, filled = _markdown_templates(), filler(study)
    blocks = _Blocks(view, figures, templates.get_template("parts.md.j2").module)

    def figures_of(experiment: str) -> _Raw:
        return _Raw(blocks.rest_of(experiment))

    own = _Raw(prose.to_markdown(title, filled, blocks.of_slot)) if _own_title(title, study) else ""
    body = _Raw(prose.to_markdown(prose.demoted(text), filled, blocks.of_slot))
    for claim in findings:
        claim["markdown"] = _Raw(prose.to_markdown(str(claim["sentence"]), filled, blocks.of_slot))
    front = templates.get_template("report.md.j2").render(
        view, heading=one_line(study.run.goal), reading_title=own, body=body
    )
    return front, templates.get_template("each.md.j2").render(view, figures_of=figures_of)
