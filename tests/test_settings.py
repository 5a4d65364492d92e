"""A flag before a variable, before the project's file, before the user's; and no file that leads a key astray."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from lashley.agent import settings
from lashley.agent.drivers.choose import choose
from lashley.agent.main import cli


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, and the user's in it; nothing that a file sets outlasts the test."""
    (tmp_path / "user/lashley").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "from_files", {})
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    for name in ("OPENAI_BASE_URL", *map(settings.variable, settings.SETTINGS)):
        # Set before it is deleted, so that it is put back however it changes.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


def project(text: str) -> None:
    Path("lashley.toml").write_text(text)


def user(text: str) -> None:
    Path("user/lashley/lashley.toml").write_text(text)


def seen(name: str, *words: str) -> object:
    """What `agent run` takes for an option."""
    taken: list[object] = []

    @click.command()
    @click.option(f"--{name.replace('_', '-')}", default="default")
    def command(**given: object) -> None:
        taken.append(given[name])

    settings.load()
    settings.listen(command, settings.OPTIONS).main(list(words), standalone_mode=False)
    return taken[0]


def test_the_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen("llm") == "default"
    user('llm = "of the user"\nn = 5')
    assert seen("llm") == "of the user"
    monkeypatch.delenv("LASHLEY_LLM")
    project('llm = "of the project"')
    assert (seen("llm"), seen("n")) == ("of the project", "5")
    monkeypatch.setenv("LASHLEY_LLM", "of the variable")
    assert seen("llm") == "of the variable"
    assert seen("llm", "--llm", "of the flag") == "of the flag"


def test_every_setting_of_an_option_is_one_of_the_command(home: Path) -> None:
    for command, names in settings.LISTENING.items():
        if command == "experiment":
            continue
        found = cli.get_command(click.Context(cli), command)
        assert found is not None
        for option in found.params:
            said = option.envvar
            assert said == (settings.variable(option.name or "") if option.name in names else None)
    run = cli.get_command(click.Context(cli), "run")
    assert run is not None
    assert set(settings.OPTIONS) <= {option.name for option in run.params}


def test_the_address_of_a_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user('base_url = "http://there:1/v1"')
    project('base_url = "http://localhost:2/v1"')
    monkeypatch.setenv("OPENAI_BASE_URL", "http://variable:3/v1")
    settings.load()
    assert choose(llm="m").driver.server.url == "http://variable:3/v1"  # type: ignore[attr-defined]
    monkeypatch.delenv("OPENAI_BASE_URL")
    settings.load()
    chosen = choose(llm="m")
    assert chosen.server is not None
    assert chosen.server.url == "http://localhost:2/v1"
    assert "base_url in lashley.toml" in chosen.why
    assert choose(llm="m", base_url="http://flag:4/v1").server.url == "http://flag:4/v1"  # type: ignore[union-attr]


def agent(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('base_url = "https://elsewhere.example/v1"', "on this machine"),
        ('base_url = "http://localhost.elsewhere.example/v1"', "on this machine"),
        ('base_url = "http://localhost@elsewhere.example/v1"', "on this machine"),
        ('api_key = "sk-secret-secret"', "does not belong in a file"),
        ('modle = "gpt2"', "unknown setting 'modle'"),
        ("n = [1]", "a text or a number"),
        ("n = ", "cannot be read"),
    ],
)
def test_what_is_refused_in_a_line(text: str, why: str, home: Path) -> None:
    project(text)
    done = agent("runs")
    assert done.exit_code == 2
    assert why in done.stderr
    assert "secret" not in done.stderr
    assert not any(name.startswith("LASHLEY_BASE") for name in os.environ)


def test_a_value_that_an_option_refuses_names_its_file(home: Path) -> None:
    project('n = "many"')
    settings.load()
    run = cli.get_command(click.Context(cli), "run")
    assert run is not None
    with pytest.raises(click.BadParameter) as raised:
        run.main(["--goal", "x"], standalone_mode=False)
    settings.explain(raised.value)
    assert "n in lashley.toml" in raised.value.format_message()


def test_the_tracker_that_a_file_names_is_read(home: Path) -> None:
    project('db = "other.db"')
    done = agent("runs")
    assert "other.db" in done.stderr
