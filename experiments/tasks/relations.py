"""Five relations besides capitals: language, continent and country of places, symbols of elements, authors of books.

Each has seventy pairs or more of common knowledge. Pairs with two good answers are left out: countries with several
languages or continents, cities with a namesake, books whose author has several spellings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .facts import Wording, grouped, recall, table
from .task import AnswerKind, Task

LANGUAGES = grouped(
    """
    Arabic: Syria, Lebanon, Jordan, Egypt, Libya, Tunisia, Qatar, Oman, Yemen, Kuwait, Bahrain
    Spanish: Spain, Mexico, Cuba, Colombia, Argentina, Chile, Venezuela, Ecuador, Uruguay, Nicaragua, Honduras, Panama
    Portuguese: Portugal, Brazil, Angola, Mozambique
    French: France, Senegal, Gabon
    English: England, Australia, Jamaica, Liberia, Ghana
    German: Germany, Austria
    Italian: Italy
    Greek: Greece
    Hungarian: Hungary
    Polish: Poland
    Swedish: Sweden
    Norwegian: Norway
    Finnish: Finland
    Danish: Denmark
    Icelandic: Iceland
    Russian: Russia
    Ukrainian: Ukraine
    Romanian: Romania
    Bulgarian: Bulgaria
    Serbian: Serbia
    Croatian: Croatia
    Slovak: Slovakia
    Albanian: Albania
    Estonian: Estonia
    Latvian: Latvia
    Lithuanian: Lithuania
    Armenian: Armenia
    Turkish: Turkey
    Hebrew: Israel
    Japanese: Japan
    Chinese: China
    Thai: Thailand
    Vietnamese: Vietnam
    Khmer: Cambodia
    Lao: Laos
    Nepali: Nepal
    Bengali: Bangladesh
    Indonesian: Indonesia
    Mongolian: Mongolia
    """
)
CONTINENTS = grouped(
    """
    Europe: France, Germany, Italy, Spain, Portugal, Greece, Austria, Hungary, Poland, Sweden, Norway, Finland, Denmark
    Europe: Iceland, Ireland, Belgium, Switzerland, Croatia, Slovenia, Slovakia, Albania, Estonia, Latvia, Lithuania
    Europe: Ukraine, Romania, Bulgaria, Serbia
    Asia: Japan, China, India, Pakistan, Bangladesh, Nepal, Thailand, Vietnam, Malaysia, Cambodia, Laos, Mongolia
    Asia: Iran, Iraq, Syria, Jordan, Lebanon, Qatar, Oman, Afghanistan, Singapore
    Africa: Morocco, Algeria, Tunisia, Libya, Sudan, Ethiopia, Kenya, Uganda, Rwanda, Tanzania, Ghana, Senegal, Mali
    Africa: Nigeria, Angola, Zambia, Zimbabwe, Namibia, Botswana, Somalia, Cameroon, Madagascar
    South America: Brazil, Argentina, Chile, Peru, Bolivia, Uruguay, Paraguay, Ecuador, Colombia, Venezuela
    """
)
CITIES = grouped(
    """
    Germany: Munich, Hamburg, Frankfurt, Cologne, Dresden, Leipzig, Stuttgart
    Italy: Milan, Naples, Venice, Florence, Turin, Genoa
    Spain: Barcelona, Seville, Bilbao, Malaga
    France: Lyon, Marseille, Toulouse, Bordeaux, Strasbourg
    Portugal: Porto
    Austria: Salzburg, Graz, Innsbruck
    Switzerland: Zurich, Geneva, Basel
    Belgium: Antwerp, Bruges, Ghent
    Poland: Krakow, Gdansk
    Sweden: Gothenburg, Malmo
    Norway: Bergen
    Finland: Turku, Tampere
    Denmark: Aarhus
    Greece: Thessaloniki
    Turkey: Istanbul, Izmir
    India: Mumbai, Kolkata, Chennai, Bangalore, Jaipur
    Pakistan: Karachi, Lahore
    China: Shanghai, Guangzhou, Shenzhen, Wuhan
    Japan: Osaka, Kyoto, Nagoya, Hiroshima, Nagasaki, Yokohama
    Australia: Sydney, Melbourne, Brisbane, Adelaide
    Canada: Toronto, Montreal, Vancouver, Calgary, Edmonton
    Mexico: Tijuana, Cancun
    Nigeria: Lagos, Kano
    Kenya: Mombasa
    Egypt: Luxor
    Morocco: Casablanca, Marrakesh
    Israel: Haifa
    Syria: Aleppo
    Iraq: Basra, Mosul
    Iran: Isfahan, Shiraz
    Ukraine: Lviv, Kharkiv
    """
)
ELEMENTS = table(
    """
    hydrogen H, helium He, lithium Li, beryllium Be, boron B, carbon C, nitrogen N, oxygen O, fluorine F, neon Ne,
    sodium Na, magnesium Mg, silicon Si, phosphorus P, chlorine Cl, argon Ar, potassium K, calcium Ca, scandium Sc,
    titanium Ti, vanadium V, chromium Cr, manganese Mn, iron Fe, cobalt Co, nickel Ni, copper Cu, zinc Zn, gallium Ga,
    germanium Ge, arsenic As, selenium Se, bromine Br, krypton Kr, rubidium Rb, strontium Sr, yttrium Y, zirconium Zr,
    niobium Nb, molybdenum Mo, technetium Tc, ruthenium Ru, rhodium Rh, palladium Pd, silver Ag, cadmium Cd, indium In,
    tin Sn, antimony Sb, tellurium Te, iodine I, xenon Xe, barium Ba, lanthanum La, cerium Ce, neodymium Nd,
    europium Eu, hafnium Hf, tantalum Ta, tungsten W, rhenium Re, osmium Os, iridium Ir, platinum Pt, gold Au,
    mercury Hg, thallium Tl, lead Pb, bismuth Bi, polonium Po, radon Rn, radium Ra, thorium Th, uranium U, plutonium Pu
    """
)
AUTHORS = grouped(
    """
    Shakespeare: Hamlet, Macbeth, Othello, King Lear, Romeo and Juliet, The Tempest, Julius Caesar
    Austen: Pride and Prejudice, Emma, Sense and Sensibility, Mansfield Park
    Dickens: Oliver Twist, Great Expectations, David Copperfield, A Tale of Two Cities, A Christmas Carol
    Tolstoy: War and Peace, Anna Karenina
    Melville: Moby-Dick
    Cervantes: Don Quixote
    Homer: The Odyssey, The Iliad
    Virgil: The Aeneid
    Dante: The Divine Comedy
    Milton: Paradise Lost
    Chaucer: The Canterbury Tales
    Hugo: Les Miserables, The Hunchback of Notre-Dame
    Flaubert: Madame Bovary
    Dumas: The Three Musketeers, The Count of Monte Cristo
    Voltaire: Candide
    Camus: The Stranger, The Plague
    Kafka: The Metamorphosis, The Trial, The Castle
    Joyce: Ulysses, Dubliners, Finnegans Wake
    Stoker: Dracula
    Shelley: Frankenstein
    Bronte: Jane Eyre, Wuthering Heights
    Eliot: Middlemarch, Silas Marner
    Orwell: Animal Farm, Homage to Catalonia
    Huxley: Brave New World
    Golding: Lord of the Flies
    Tolkien: The Hobbit, The Lord of the Rings
    Fitzgerald: The Great Gatsby, Tender Is the Night
    Hemingway: The Old Man and the Sea, A Farewell to Arms
    Steinbeck: The Grapes of Wrath, Of Mice and Men, East of Eden
    Salinger: The Catcher in the Rye
    Bradbury: Fahrenheit 451
    Stevenson: Treasure Island
    Defoe: Robinson Crusoe
    Swift: Gulliver's Travels
    Carroll: Alice in Wonderland
    Kipling: The Jungle Book
    Hawthorne: The Scarlet Letter
    Whitman: Leaves of Grass
    Poe: The Raven
    Wells: The Time Machine, The War of the Worlds
    Wilde: The Picture of Dorian Gray
    Conrad: Heart of Darkness
    Nabokov: Lolita
    Woolf: Mrs Dalloway, To the Lighthouse
    Hobbes: Leviathan
    Plato: The Republic
    Machiavelli: The Prince
    Morrison: Beloved
    """
)
KNOWLEDGE = ("fact", "facts", "factual recall", "knowledge")

# Other right names of authors; the rest have only one name.
FULL_NAMES = table(
    """
    Shakespeare | William Shakespeare, Austen | Jane Austen, Dickens | Charles Dickens, Tolstoy | Leo Tolstoy,
    Melville | Herman Melville, Cervantes | Miguel de Cervantes, Dante | Dante Alighieri, Milton | John Milton,
    Chaucer | Geoffrey Chaucer, Hugo | Victor Hugo, Flaubert | Gustave Flaubert, Dumas | Alexandre Dumas,
    Camus | Albert Camus, Kafka | Franz Kafka, Joyce | James Joyce, Stoker | Bram Stoker, Shelley | Mary Shelley,
    Eliot | George Eliot, Orwell | George Orwell, Huxley | Aldous Huxley, Golding | William Golding,
    Tolkien | J. R. R. Tolkien, Fitzgerald | F. Scott Fitzgerald, Hemingway | Ernest Hemingway,
    Steinbeck | John Steinbeck, Salinger | J. D. Salinger, Bradbury | Ray Bradbury,
    Stevenson | Robert Louis Stevenson, Defoe | Daniel Defoe, Swift | Jonathan Swift, Carroll | Lewis Carroll,
    Kipling | Rudyard Kipling, Hawthorne | Nathaniel Hawthorne, Whitman | Walt Whitman, Poe | Edgar Allan Poe,
    Wells | H. G. Wells, Wilde | Oscar Wilde, Conrad | Joseph Conrad, Nabokov | Vladimir Nabokov,
    Woolf | Virginia Woolf, Hobbes | Thomas Hobbes, Machiavelli | Niccolo Machiavelli,
    Morrison | Toni Morrison
    """
)


def relation(
    name: str,
    title: str,
    named: tuple[str, str],
    facts: Mapping[str, str],
    wordings: Sequence[Wording],
    keywords: tuple[str, ...],
    longer: Mapping[str, str] | None = None,
    kind: AnswerKind = "name",
) -> Task:
    return Task(
        name=name,
        title=title,
        description=f"Recalls one of {len(facts)} facts of this relation, in {len(wordings)} wordings.\n"
        "Chance is near 0, or the share of the most frequent answer; against the distractor it is 1 in 2.",
        keywords=(*keywords, *KNOWLEDGE),
        answer_kind=kind,
        max_new_tokens=16,
        group="facts",
        source=recall(name, named[1], facts, wordings, longer, named),
    )


RELATIONS = (
    relation(
        "languages",
        "Languages of countries",
        ("country", "language"),
        LANGUAGES,
        (
            ("speak", "In {subject}, most people speak the {relation} called"),
            ("official", "The official {relation} of {subject} is"),
            ("question", "Q: Which {relation} do people in {subject} speak?\nA:"),
            ("most", "The {relation} that most people in {subject} speak is"),
        ),
        ("language of a country", "languages of countries", "official language", "spoken language", "languages"),
    ),
    relation(
        "continents",
        "Continents of countries",
        ("country", "continent"),
        CONTINENTS,
        (
            ("country", "{subject} is a country on the {relation} of"),
            ("question", "Q: On which {relation} is {subject}?\nA:"),
            ("lies", "The {relation} on which {subject} lies is"),
            ("map", "On a map of the world, {subject} is found on the {relation} of"),
        ),
        ("continent", "continents", "which continent"),
    ),
    relation(
        "cities",
        "Countries of cities",
        ("city", "country"),
        CITIES,
        (
            ("city", "The city of {subject} is in the {relation} of"),
            ("question", "Q: In which {relation} is {subject}?\nA:"),
            ("lies", "The {relation} in which {subject} lies is"),
        ),
        ("country of a city", "countries of cities", "where a city is", "which country", "city"),
    ),
    relation(
        "elements",
        "Symbols of chemical elements",
        ("element", "symbol"),
        ELEMENTS,
        (
            ("chemical", "The chemical {relation} of {subject} is"),
            ("question", "Q: What is the {relation} of the element {subject}?\nA:"),
            ("table", "In the periodic table, the {relation} for {subject} is"),
            ("stands", "The element {subject} has the {relation}"),
        ),
        ("element", "chemical", "chemistry", "chemical symbol", "periodic table"),
        # "In" is the symbol of indium, but grading skips "in" before a name.
        kind="word",
    ),
    relation(
        "authors",
        "Authors of books",
        ("book", "author"),
        AUTHORS,
        (
            # Two solved examples that are never asked make clear that a last name is enough.
            (
                "called",
                "The author of Walden is Thoreau, the author of Ivanhoe is Scott, and the {relation} of {subject} is",
            ),
            ("question", "Q: Who is the author of Walden?\nA: Thoreau\nQ: Who is the {relation} of {subject}?\nA:"),
            (
                "written",
                "Walden was written by the author Thoreau. Ivanhoe was written by the author Scott. "
                "{subject} was written by the {relation}",
            ),
            ("list", "Walden, author: Thoreau\nIvanhoe, author: Scott\n{subject}, {relation}:"),
        ),
        ("author", "authors", "book", "books", "novel", "literature", "wrote"),
        FULL_NAMES,
    ),
)
