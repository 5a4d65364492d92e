"""Short and common English nouns, for families that need words without meaning in the task."""

from __future__ import annotations

from .family import listed

NOUNS = listed(
    """
    air arm art bag ball band bank bar base bath bed bell bird block board boat body bone book bottle bowl box boy
    bread bridge brother bus cake camera camp car card case cat chain chair chest church circle city class clock cloud
    club coat coffee color corn corner country cow cup desk dinner dog door dream dress drink driver earth egg engine
    eye face farm field finger fire fish flag floor flower food foot forest friend fruit game garden gate girl glass
    gold grass ground group gun hair hall hand hat head heart hill home horse hotel house ice island job key king
    kitchen knife lady lake lamp land leaf leg letter light line lion map market meat metal milk mind mirror money
    moon mother mountain mouse mouth music name neck night nose ocean office oil page paint paper park party path pen
    person phone picture plane plant plate pocket pool queen rain ring river road rock roof room rose salt sand
    school sea seat ship shirt shoe shop silver sister skin sky snow soap song soul sound spring star station steel
    stone store storm street sugar summer sun table tail team tower town train tree truck village voice wall water
    wave wheel wind window wine winter wood world yard
    """
)
