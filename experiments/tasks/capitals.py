"""The capital of a country: a fact to recall, not to compute.

The list has no capitals that are disputed, have two common spellings, or contain the name of their country, which could
be copied. Countries are single words, most of them single tokens, so a corrupted prompt with another country aligns
with the original.
"""

from __future__ import annotations

from .facts import recall, table
from .task import Task

CAPITALS = table(
    """
    France Paris, Germany Berlin, Italy Rome, Spain Madrid, Portugal Lisbon, Greece Athens, Austria Vienna,
    Hungary Budapest, Poland Warsaw, Sweden Stockholm, Norway Oslo, Finland Helsinki, Denmark Copenhagen,
    Iceland Reykjavik, Ireland Dublin, Belgium Brussels, Switzerland Bern, Russia Moscow, Bulgaria Sofia, Serbia
    Belgrade, Croatia Zagreb, Slovenia Ljubljana, Slovakia Bratislava, Albania Tirana, Estonia Tallinn, Latvia
    Riga, Lithuania Vilnius, Belarus Minsk, Armenia Yerevan, Azerbaijan Baku, Turkey Ankara, Iran Tehran, Iraq
    Baghdad, Syria Damascus, Lebanon Beirut, Jordan Amman, Egypt Cairo, Libya Tripoli, Morocco Rabat, Sudan
    Khartoum, Kenya Nairobi, Uganda Kampala, Rwanda Kigali, Ghana Accra, Senegal Dakar, Mali Bamako, Nigeria
    Abuja, Angola Luanda, Zambia Lusaka, Zimbabwe Harare, Mozambique Maputo, Namibia Windhoek, Somalia
    Mogadishu, Madagascar Antananarivo, Japan Tokyo, China Beijing, Pakistan Islamabad, Bangladesh Dhaka, Nepal
    Kathmandu, Thailand Bangkok, Vietnam Hanoi, Indonesia Jakarta, Afghanistan Kabul, Qatar Doha, Oman Muscat,
    Uzbekistan Tashkent, Australia Canberra, Canada Ottawa, Cuba Havana, Jamaica Kingston, Peru Lima, Chile
    Santiago, Venezuela Caracas, Ecuador Quito, Uruguay Montevideo, Nicaragua Managua, Honduras Tegucigalpa,
    Cyprus Nicosia
    """
)
TEMPLATES = (
    ("the", "The {relation} of {subject} is"),
    ("city", "The {relation} city of {subject} is"),
    ("question", "Q: What is the {relation} of {subject}?\nA:"),
    ("name", "The name of the {relation} of {subject} is"),
)


CAPITALS_TASK = Task(
    name="capitals",
    title="Capitals of countries",
    description=f"Recalls the capital of one of {len(CAPITALS)} countries, asked for in {len(TEMPLATES)} wordings.\n"
    "Chance is near 0; between the answer and its distractor it is 1 in 2.",
    keywords=(
        *("capital", "capital city", "country", "geography", "city", "cities", "fact", "factual", "factual recall"),
        *("knowledge", "world knowledge", "recall"),
    ),
    answer_kind="name",
    max_new_tokens=16,
    group="facts",
    source=recall("capitals", "capital", CAPITALS, TEMPLATES, named=("country", "city")),
)
