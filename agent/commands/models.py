"""`agent models`: list the models, describe one, and check whether a model's anatomy is understood."""

from __future__ import annotations

import json

import click

from .one_line_errors import one_line


def aloud(text: str) -> None:
    click.echo(text, err=True)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the models: size, memory, and whether a model must still be downloaded.

    `agent models describe NAME` shows what one is; `agent models check NAME` loads one and tests it.
    """
    if ctx.invoked_subcommand is not None:
        return
    from ...tools.workbench import catalog

    rows = catalog.models()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        size = f"{row['parameters'] / 1e6:.3g}M, {row['memory'] / 1e9:.1g} GB" if row["parameters"] else ""
        also = f"    also: {', '.join(row['also'])}" if row["also"] else f"    {row['about']}" if row["about"] else ""
        click.echo(f"{row['name']:<18} {size:<17} {row['state']}{also}")
    click.echo(
        "Also: any Hub id (gpt2, EleutherAI/pythia-160m@step1000), a local folder of a model or of a LoRA adapter, a"
        " .gguf file. Each parameter takes four bytes of memory.",
        err=True,
    )


@models.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the anatomy and the checks as JSON.")
def check(name: str, as_json: bool) -> None:
    """Load NAME, print its anatomy, and test every law that the measurements rely on."""
    with one_line():
        from ...tools.workbench.catalog import check_subject

        found = check_subject(name, aloud)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(f"{found['name']}  fingerprint {found['fingerprint']}")
        for key, value in found["anatomy"].items():
            click.echo(f"  {key:<14} {value}")
        if made := found.get("made_of"):
            into = f"{made['base']} ({made['base_fingerprint']})"
            click.echo(f"  {'adapter':<14} {made['adapter_fingerprint']}, merged into {into}")
        for note in found["notes"]:
            click.echo(f"  {note}")
        for one in found["checks"]:
            mark = "ok  " if one["passed"] else "FAIL"
            click.echo(f"  {mark} {one['name']} (off by {one['deviation']:.1e}, limit {one['tolerance']:.0e})")
    raise click.exceptions.Exit(0 if all(c["passed"] for c in found["checks"]) else 1)


@models.command()
@click.argument("name")
@click.option("--layers", default=None, help="Show all norms of these layers instead, such as 0,1,5.")
@click.option("--json", "as_json", is_flag=True, help="Print the description as JSON.")
def describe(name: str, layers: str | None, as_json: bool) -> None:
    """Load NAME and show what it is without any task: vocabulary, special tokens, sizes, norms of heads and MLPs."""
    with one_line():
        from ...tools.describe_model import chosen_layers, description_text
        from ...tools.workbench.catalog import describe_subject

        found = describe_subject(name, aloud)
        chosen = chosen_layers(found, layers)
    click.echo(found.model_dump_json(indent=2) if as_json else description_text(found, chosen))
