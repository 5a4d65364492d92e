"""What the pages promise is tried: commands are parsed, SQL and examples are run, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sqlite3
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from lashley.agent.main import COMMANDS, cli
from lashley.db.write.store import Store
from lashley.experiments.kinds.registry import kinds
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.tools.workbench.catalog import configuration
from lashley.tools.workbench.run_experiment import experiment_from

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


def blocks(page: Path, language: str | None = None) -> Iterator[str]:
    """The fenced blocks of a page, of one language or of all; the indented ones count as having none."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^ *```(\w*)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        if language is None or found[1] == language:
            yield found[2]
    if not language:
        outside = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
        for found in re.finditer(r"(?:^    .*\n)+", outside, re.MULTILINE):
            yield found[0]


def commands() -> list[tuple[str, str]]:
    """Every line in a code block that starts `agent` or `$ agent`, with variables before it left out. What the page of
    commands shows is made from the help texts."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        if page.name == "commands.md":
            continue
        for block in blocks(page):
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                line = re.sub(r"^\s*(\$ )?([A-Z_]+=\S+ +)*", "", line)
                if line.startswith("agent ") and (page.name, line) not in found:
                    found.append((page.name, line.split(" | ")[0]))
    return found


def parse(arguments: list[str]) -> tuple[click.Command, click.Context]:
    """The command that these arguments name, and its parsed context. Raises UsageError as the command line would."""
    command: click.Command = cli
    context = click.Context(cli, info_name="agent")
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command, context = found, click.Context(found, parent=context, info_name=name)
    return command, command.make_context(context.info_name, arguments, parent=context.parent)


@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda text: text[:60])
def test_every_command_in_the_pages_can_be_given(page: str, line: str) -> None:
    arguments = shlex.split(line, comments=True)[1:]
    if arguments in (["--help"], ["--version"]):
        return
    command, context = parse(arguments)
    if arguments[0] == "experiment" and context.info_name in kinds():
        kind = str(context.info_name)
        experiment_from(kind, {**configuration(kind, context.params), "task": "arithmetic"})
    assert command.callback is not None


def helps(command: click.Command, name: str = "agent") -> Iterator[tuple[str, str]]:
    yield name, command.help or ""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from helps(found, f"{name} {below}")


def test_every_example_in_a_help_text_can_be_given() -> None:
    examples = [
        (name, example.strip())
        for name, text in helps(cli)
        for example in re.findall(r"(?:^|  )(agent \S.*?)(?=  |$)", text, re.MULTILINE)
    ]
    assert examples
    for name, example in examples:
        try:
            parse(shlex.split(example)[1:])
        except click.UsageError as fault:
            pytest.fail(f"the help of `{name}` shows `{example}`: {fault.format_message()}")


def test_a_command_that_is_not_there_would_be_found() -> None:
    for wrong in ("runn", "notes --color", "replay", "experiment head_ablation --method meen", "show"):
        with pytest.raises((click.UsageError, click.exceptions.Exit)):
            parse(wrong.split())


def test_the_pages_show_every_command() -> None:
    shown = {shlex.split(line, comments=True)[1] for _, line in commands()}
    assert shown >= set(COMMANDS)
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    listed = re.findall(r"^## agent ([\w-]+)$", text, re.MULTILINE)
    assert listed == list(COMMANDS)


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    # Pages that README links lead to these two.
    there = {page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").glob("*.md")}
    left = there - set(targets(ROOT / "README.md"))
    assert left == {"docs/faults.md", "docs/led_by_smollm2.md"}


def targets(page: Path) -> Iterator[str]:
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)
    yield from re.findall(r"""(?:src|href)="([^"]+)\"""", text)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    for target in targets(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} in {page.name}"
        assert not anchor or anchor in anchors(there), f"{target} in {page.name}"


def test_every_make_word_in_the_pages_is_in_the_makefile() -> None:
    words = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    texts = [workflow, *(page.read_text(encoding="utf-8") for page in PAGES)]
    named = {w for text in texts for found in re.findall(r"\bmake((?: [a-z-]+)+)(?=[ `\n]*[`#\n]| PYTHON)", text)
             for w in found.split()}  # fmt: skip
    assert named <= words, named - words
    assert {"setup", "lint", "types", "test"} <= named


def test_sql_in_the_pages_runs_on_a_tracker(tmp_path: Path) -> None:
    Store.open(tmp_path / "lashley.db").close()
    found = [sql for page in PAGES for block in blocks(page) for sql in re.findall(r'lashley\.db "([^"]+)"', block)]
    assert found
    with closing(sqlite3.connect(tmp_path / "lashley.db")) as connection:
        for sql in found:
            assert connection.execute(sql).description, sql


def test_the_jsonl_in_the_pages_is_a_task() -> None:
    found = [block for page in PAGES for block in blocks(page) if block.lstrip().startswith('{"text"')]
    assert found
    for block in found:
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        task = from_jsonl("mine", "\n".join(lines))
        # The commands below it take two of those to explore.
        assert task.capacity("explore") >= 2
        assert task.capacity("explore") + task.capacity("confirm") == len(lines)


# Those whose output is the same in a tracker of any age, and cheap to have.
SHOWN = ("agent experiment head_ablation --heads L20.H8,L16.H2", "agent tasks show ioi")
NUMBER = r"[-+−]?\d[\d,]*(?:\.\d+)?"


@pytest.mark.parametrize("begins", SHOWN)
def test_what_the_pages_show_of_a_command_comes_out_of_it(
    begins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word by word, between what is left out (...), and the numbers but for their last digit."""
    shown = {textwrap.dedent(b).strip() for page in PAGES for b in blocks(page) if b.lstrip().startswith(f"$ {begins}")}
    text = min(shown, key=len)
    assert all(one.startswith(text) for one in shown), "the pages show the same"
    first, _, rest = textwrap.dedent(text).partition("\n")
    monkeypatch.setenv("LASHLEY_DB", str(tmp_path / "lashley.db"))
    done = CliRunner().invoke(cli, shlex.split(first.removeprefix("$ "))[1:], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    # How many experiments a tracker holds is none of the example's business.
    said = " ".join(re.sub(r"^E\d+ ", "", done.stdout).split())
    pieces = [" ".join(one.split()) for one in re.sub(r"^E\d+ ", "", rest).split("...")]
    for piece in filter(None, pieces):
        pattern = f"({NUMBER})".join(map(re.escape, re.split(NUMBER, piece)))
        found = re.search(pattern, said)
        assert found, f"{piece!r} is not in {said!r}"
        for pair in zip(re.findall(NUMBER, piece), found.groups(), strict=True):
            shown, real = (float(n.replace(",", "").replace("−", "-")) for n in pair)
            assert shown == pytest.approx(real, abs=0.0011), piece


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text(encoding="utf-8")
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.split(r"[<>=!\[]", wanted)[0] for wanted in wanted}
    said = set(re.findall(r"`([a-z0-9-]+)`", text))
    assert names <= said, names - said
    rows = set(re.findall(r"^\| `([a-z0-9-]+)` \| \S", text, re.MULTILINE))
    assert rows == {re.split(r"[<>=!\[]", d)[0] for d in project["dependencies"]}


def test_the_made_pages_are_as_the_code_says() -> None:
    made = module("make_pages", ROOT / "docs" / "make_pages.py").pages()
    stale = [p.name for p, text in made.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    assert not stale, f"run `make docs`: {', '.join(stale)}"
    assert set((ROOT / "docs" / "kinds").glob("*.md")) <= set(made)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "images").glob("*")), ids=lambda p: p.name)
def test_pictures_are_small_and_need_nothing_from_elsewhere(path: Path) -> None:
    assert path.stat().st_size < 250_000
    if path.suffix == ".svg":
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text
        assert "<script" not in text
