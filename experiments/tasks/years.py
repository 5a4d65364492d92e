"""The year of an event: the Titanic sank in 1912. A wrong year is off by one or by ten.

Years are numbers to recall, not to compute: a model that is close knows the century, and one that is off by a digit
shows which digit it does not know.
"""

from __future__ import annotations

from .facts import table
from .family import Family, choose, fill
from .prompt import Prompt, split_of
from .task import Task

EVENTS = table(
    """
    Columbus reached America | 1492, the Titanic sank | 1912, the Berlin Wall fell | 1989,
    the First World War began | 1914, the First World War ended | 1918, the Second World War began | 1939,
    the Second World War ended | 1945, the French Revolution began | 1789,
    the Declaration of Independence was signed | 1776, the American Civil War began | 1861,
    the American Civil War ended | 1865, John F. Kennedy was assassinated | 1963,
    Neil Armstrong walked on the Moon | 1969, the Soviet Union was dissolved | 1991,
    Napoleon was defeated at Waterloo | 1815, the Battle of Hastings was fought | 1066,
    Magna Carta was sealed | 1215, the Great Fire of London broke out | 1666,
    the Wright brothers made their first powered flight | 1903, the Wall Street crash happened | 1929,
    the October Revolution took place in Russia | 1917, Pearl Harbor was attacked | 1941,
    the Allies landed in Normandy | 1944, India became independent | 1947, the Suez Canal was opened | 1869,
    the Panama Canal was opened | 1914, the Eiffel Tower was completed | 1889, Sputnik was launched | 1957,
    Yuri Gagarin flew into space | 1961, the Chernobyl disaster happened | 1986,
    Nelson Mandela was released from prison | 1990, Hong Kong was returned to China | 1997,
    Barack Obama was first elected president | 2008, Constantinople fell to the Ottomans | 1453,
    Martin Luther published his theses | 1517, William Shakespeare died | 1616,
    Wolfgang Amadeus Mozart was born | 1756, Ludwig van Beethoven was born | 1770, Albert Einstein was born | 1879,
    Charles Darwin published On the Origin of Species | 1859, Isaac Newton published the Principia | 1687,
    the Spanish Armada was defeated | 1588, the Mayflower sailed to America | 1620,
    George Washington became president | 1789, Victoria became queen | 1837, Elizabeth II became queen | 1952,
    the first iPhone was released | 2007, Facebook was founded | 2004, Google was founded | 1998,
    Apple was founded | 1976, Microsoft was founded | 1975, the space shuttle Challenger exploded | 1986,
    the World Trade Center was destroyed | 2001, the Korean War began | 1950,
    the Cuban Missile Crisis happened | 1962, Richard Nixon resigned | 1974, Elvis Presley died | 1977,
    Princess Diana died | 1997, the great earthquake destroyed San Francisco | 1906, penicillin was discovered | 1928,
    the United Nations was founded | 1945, NATO was founded | 1949, the State of Israel was founded | 1948,
    Martin Luther King was assassinated | 1968, the Louisiana Purchase was made | 1803,
    the United States bought Alaska | 1867, Hitler became chancellor | 1933, the Spanish Civil War began | 1936,
    the Brexit referendum was held | 2016, Lehman Brothers collapsed | 2008, Mount St. Helens erupted | 1980,
    Krakatoa erupted | 1883, the Statue of Liberty was dedicated | 1886, Joan of Arc was burned | 1431,
    Abraham Lincoln was assassinated | 1865, Franz Ferdinand was assassinated | 1914
    """
)
TEMPLATES = (
    "It is well known that {event} in the year",
    "Q: In which year did it happen that {event}?\nA: In the year",
    "A date to remember: {event} in the year",
    "As every history book says, {event} in the year",
)


def wrong(year: int) -> list[int]:
    return [year - 10, year - 1, year + 1, year + 10]


def write(event: str, stratum: int, _variant: int) -> Prompt:
    text, spans = fill(TEMPLATES[stratum], event=event)
    others = [e for e in EVENTS if EVENTS[e] != EVENTS[event] and split_of(e) == split_of(event)]
    twin = choose([e for e in others if len(e.split()) == len(event.split())] or others, text)
    return Prompt(
        text=text,
        answer=f" {EVENTS[event]}",
        distractor=f" {choose(wrong(int(EVENTS[event])), text)}",
        corrupted=fill(TEMPLATES[stratum], event=twin)[0],
        corrupted_answer=f" {EVENTS[twin]}",
        spans=spans,
        template=f"years.{stratum}",
        key=event,
        values={"year": EVENTS[event]},
    )


YEARS = Task(
    name="years",
    title="Years of events",
    description=f"Recalls the year of one of {len(EVENTS)} well-known events, in {len(TEMPLATES)} wordings.\n"
    "Chance is near 0; against a year that is one or ten off it is 1 in 2.",
    keywords=("year", "years", "historical", "history", "facts"),
    answer_kind="number",
    max_new_tokens=8,
    group="facts",
    source=Family("years 1", lambda: tuple(EVENTS), str, lambda _event, _stratum: 1, write, strata=len(TEMPLATES)),
)
