"""Interventions as text: one line is one edit, such as "zero L5.H3" or "patch L3.mlp@s2 from corrupted".

A line may begin with the name of its intervention, "A: zero L5.H3"; lines with the same name are one intervention. The
same lines are used in a configuration, on the command line and in Python.

    zero | mean | resample | freeze  PLACES
    scale PLACES by NUMBER
    patch PLACES from DONOR
    add PLACES along DIRECTION [by NUMBER]
    project_out PLACES along DIRECTION
    cut HEADS from KEYS to QUERIES
    attend HEADS[@QUERIES] to KEYS
    skip LAYERS[@POSITIONS] | repeat LAYERS | swap LAYER LAYER | layers PROGRAM
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from .errors import BadConfiguration
from .result import Frozen
from .sites import COUNTED, LETTERS, WORDS, Part, Site, check_site, count

Verb = Literal[
    "zero", "mean", "resample", "freeze", "scale", "patch", "add", "project_out", "cut", "attend", "skip", "repeat",
    "swap", "layers",
]  # fmt: skip
VERBS: tuple[str, ...] = get_args(Verb)
# The name of the intervention of lines without one.
EDITED = "edited"

_NAMED = re.compile(r"\s*([A-Za-z][\w+*. -]{0,39}):\s+(.*)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PLACE = re.compile(
    r"L(?P<layers>\*|\d{1,5}(?:-\d{1,5})?)"
    r"(?:\.(?:(?P<letter>[HKV])(?P<units>\*|\d{1,5}(?:-\d{1,5})?)(?:\.(?P<of>pattern|z))?"
    r"|mlp\.n(?P<neurons>\*|\d{1,9}(?:-\d{1,9})?)|(?P<word>[a-z_]+)))?"
    r"(?:@(?P<at>[\w+.-]+))?"
)
_FORMS: Mapping[str, str] = {
    "scale": "scale L5.H3 by 0.5",
    "patch": "patch L3.mlp@last from corrupted",
    "add": 'add L9.resid_post@last along " Paris" by 8',
    "project_out": 'project_out L9.resid_post along " Paris"',
    "cut": "cut L5.H3 from s1 to last",
    "attend": "attend L5.H3@last to first",
    "swap": "swap L5 L6",
    "layers": "layers 0-4 6-29",
    "skip": "skip L5",
    "repeat": "repeat L5",
}


class Donor(Frozen):
    """Where the values of a patch come from.

    run     "corrupted" or "clean": the same prompt's other run
    text    a text of its own, at its token `token` (from the end if negative)
    rules   another prompt of the task: for each named value, whether it is the same or another one
    """

    run: Literal["corrupted", "clean"] | None = None
    text: str | None = None
    token: int = -1
    rules: tuple[tuple[Literal["same", "other"], str], ...] = ()


class Direction(Frozen):
    """A direction in the stream: the tokens whose logit it raises, minus other tokens; or a difference of two runs."""

    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    runs: Literal["corrupted - clean", "answer - distractor"] | None = None


class Line(Frozen):
    """One line, as it was written, and its parts. `keys` are the positions that heads attend to."""

    text: str
    name: str
    verb: Verb
    places: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    donor: Donor | None = None
    along: Direction | None = None
    by: float = 1.0
    keys: str = ""
    queries: str = ""
    program: str = ""

    @property
    def positions(self) -> tuple[str, ...]:
        """The positions that it names."""
        named = (*(one.partition("@")[2] for one in self.places), self.keys, self.queries)
        return tuple(filter(None, named))


def parse_line(text: str) -> Line:
    """Raises BadConfiguration that says what the line should look like."""
    named = _NAMED.fullmatch(text)
    name, rest = (named[1].strip(), named[2]) if named and named[2].split() else (EDITED, text)
    words = rest.split()
    verb = words[0] if words else ""
    if verb not in VERBS:
        raise BadConfiguration(f"'{text.strip()}' does not begin with an edit. Use {', '.join(VERBS[:-1])} or "
                               f"{VERBS[-1]}.")  # fmt: skip
    given = {"text": text.strip(), "name": name, "verb": verb}
    rest = rest.strip()[len(verb) :].strip()
    quotes = _QUOTED.findall(rest)
    # Quoted texts may hold any words.
    bare = _QUOTED.sub(lambda _: "\0", rest)
    form = re.fullmatch(_pattern(verb), bare)
    if form is None:
        raise _misread(text, verb)
    found = form.groupdict()
    if verb == "layers":
        return Line(**given, program=", ".join(re.split(r"[,\s]+", found["program"].strip())))
    places, _, without = (found["places"] or "").partition(" except ")
    given |= {"places": _words(places), "without": _words(without)}
    if not without.strip() and " except" in f" {places}":
        raise _misread(text, verb)
    if verb in ("cut", "attend"):
        given |= {"keys": found["keys"], "queries": found.get("queries") or ""}
    if verb == "patch":
        given["donor"] = _donor(found["donor"], quotes, text)
    if verb in ("add", "project_out"):
        given["along"] = direction_of(found["along"], quotes, text)
    if found.get("by"):
        given["by"] = float(found["by"])
    line = Line(**given)
    for one in (*line.places, *line.without):
        if _PLACE.fullmatch(one) is None:
            raise BadConfiguration(
                f"'{one}' in '{line.text}' is not a place. Write L5.H3, L10-20.H*, L*.mlp, L7.attn, L7.resid_pre@last, "
                "or L5 for a layer's attention and MLP."
            )
    return line


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, re.split(r"[,\s]+", text)))


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def _pattern(verb: str) -> str:
    places = r"(?P<places>\S.*?)"
    match verb:
        case "scale":
            return rf"{places} by (?P<by>{_NUMBER})"
        case "patch":
            return rf"{places} from (?P<donor>\S.*)"
        case "add":
            return rf"{places} along (?P<along>\S.*?)(?: by (?P<by>{_NUMBER}))?"
        case "project_out":
            return rf"{places} along (?P<along>\S.*)"
        case "cut":
            return rf"{places} from (?P<keys>\S+) to (?P<queries>\S+)"
        case "attend":
            return rf"{places} to (?P<keys>\S+)"
        case "layers":
            return r"(?P<program>[\d\s,-]*)"
        case _:
            return places


def _misread(text: str, verb: str) -> BadConfiguration:
    return BadConfiguration(f"'{text.strip()}' cannot be read. Write {verb} as '{_FORMS.get(verb, f'{verb} L5.H3')}'.")


def _donor(words: str, quotes: Sequence[str], text: str) -> Donor:
    if words in ("corrupted", "clean"):
        return Donor(run=words)  # type: ignore[arg-type]
    if quoted := re.fullmatch(r"\0(?:@(-?\d{1,5}))?", words):
        return Donor(text=unescaped(quotes[-1]), token=int(quoted[1] or -1))
    rules = [re.fullmatch(r"(same|other) (\S+)", one.strip()) for one in re.split(r",| and ", words)]
    if all(rules):
        return Donor(rules=tuple((one[1], one[2]) for one in rules if one))  # type: ignore[misc]
    raise BadConfiguration(
        f"'{text.strip()}' names no donor. After from, write corrupted, clean, a text in double quotes, or a rule such "
        "as: same answer and other a."
    )


def direction_of(words: str, quotes: Sequence[str], text: str) -> Direction:
    if words in ("corrupted - clean", "answer - distractor"):
        return Direction(runs=words)  # type: ignore[arg-type]
    if re.fullmatch(r"\0(?: - \0)?", words):
        return Direction(plus=(unescaped(quotes[0]),), minus=tuple(map(unescaped, quotes[1:])))
    raise BadConfiguration(
        f"'{text.strip()}' names no direction. After along, write a token in double quotes, such as \" Paris\", the "
        'difference of two, such as " Paris" - " Rome", or: corrupted - clean, or: answer - distractor.'
    )


def unescaped(text: str) -> str:
    return text.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")


REMOVALS = ("zero", "mean", "resample")
_PART = re.compile(r"L\d+\.(?:H\d+|mlp)")
_LAYER = re.compile(r"L\d+")


def removal_of(lines: Sequence[Line]) -> tuple[str, frozenset[str]] | None:
    """How these lines remove which whole heads, MLPs or layers, at every position; None if they do anything else."""
    methods = {line.verb for line in lines}
    if len(methods) != 1 or any(line.without for line in lines):
        return None
    (method,) = methods
    form = _PART if method in REMOVALS else _LAYER if method == "skip" else None
    places = [place for line in lines for place in line.places]
    if form is None or not places or not all(form.fullmatch(place) for place in places):
        return None
    return method, frozenset(places)


# --- places ---------------------------------------------------------------------------------------------------


class Place(Frozen):
    """A site, and the positions of an edit there."""

    site: Site
    at: str = "all"


def places_of(line: Line, sizes: Mapping[str, int]) -> list[Place]:
    """The places of a line, each once, without those after except. Raises BadConfiguration for one that does not
    exist, and if nothing is left."""
    gone = [place.site for one in line.without for place in expanded(one, sizes, line)]
    found = dict.fromkeys(place for one in line.places for place in expanded(one, sizes, line))
    left = [place for place in found if place.site not in gone]
    if not left:
        raise BadConfiguration(f"'{line.text}' leaves no place to edit. Name a place that except does not take "
                               "away.")  # fmt: skip
    return left


def expanded(text: str, sizes: Mapping[str, int], line: Line) -> list[Place]:
    """ "L10-12.H*@last" -> its places. A layer alone is its attention and its MLP."""
    form = _PLACE.fullmatch(text)
    assert form is not None
    at = form["at"] or "all"
    layers = _numbers(form["layers"], sizes["n_layers"])
    for layer in layers:
        check_site(Site(layer=layer, part="resid_post"), sizes)
    every = form["layers"] == "*"
    parts, units = _parts(form, text)
    found: list[Place] = []
    for layer in layers:
        for part in parts:
            if part in COUNTED:
                there = count(part, layer, sizes)
                chosen = _numbers(units, there) if units else range(there)
                sites = [Site(layer=layer, part=part, index=i) for i in chosen]
                if not sites and not every:
                    check_site(Site(layer=layer, part=part), sizes)
            else:
                sites = [Site(layer=layer, part=part)]
            if every or len(parts) > 1:
                sites = [site for site in sites if count(site.part, layer, sizes)]
            found += [Place(site=check_site(site, sizes), at=at) for site in sites]
    if line.verb in ("cut", "attend"):
        found = [Place(site=_pattern_of(place.site, line), at=place.at) for place in found]
    return found


def _pattern_of(site: Site, line: Line) -> Site:
    if site.part not in ("z", "pattern"):
        raise BadConfiguration(f"'{line.text}' must name heads, such as L5.H3 or L5.H*: {site} attends to nothing.")
    return site.model_copy(update={"part": "pattern"})


def _parts(form: re.Match[str], text: str) -> tuple[list[Part], str | None]:
    if form["letter"]:
        if form["of"] and form["letter"] != "H":
            raise BadConfiguration(f"'{text}' is not a place. Only heads have a pattern. Write L5.H3.pattern.")
        return [WORDS[form["of"]] if form["of"] else LETTERS[form["letter"]]], form["units"]
    if form["neurons"]:
        return ["neurons"], form["neurons"]
    if form["word"] is None:
        return ["attn_out", "mlp_out"], None
    if form["word"] not in WORDS or form["word"] in ("z", "pattern"):
        raise BadConfiguration(f"'{text}' is not a place. Write a layer, or a part of it: H3, attn, mlp, resid_pre, "
                               "resid_post, mlp.n512, K1, V1.")  # fmt: skip
    return [WORDS[form["word"]]], None


def _numbers(text: str, size: int) -> list[int]:
    """ "3", "3-5" or "*", of `size`."""
    if text == "*":
        return list(range(size))
    first, _, last = text.partition("-")
    if last and int(last) < int(first):
        raise BadConfiguration(f"'{text}' is not a range. Write the smaller number first.")
    return list(range(int(first), int(last or first) + 1))


def layers_named(line: Line, sizes: Mapping[str, int]) -> list[int]:
    """The layers of skip, repeat or swap. Raises BadConfiguration for anything but whole layers."""
    for one in (*line.places, *line.without):
        form = _PLACE.fullmatch(one)
        assert form is not None
        if form["letter"] or form["neurons"] or form["word"]:
            raise BadConfiguration(f"'{line.text}' must name whole layers: {line.verb} L5, not {one}.")
    found = list(dict.fromkeys(place.site.layer for place in places_of(line, sizes)))
    if line.verb == "swap" and len(found) != 2:
        raise BadConfiguration(f"'{line.text}' must name two layers: swap L5 L6.")
    return found
