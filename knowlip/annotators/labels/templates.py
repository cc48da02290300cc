"""Five wordings of every statement. Which one a tile gets is decided by the hash of its name, so texts vary between
tiles and are the same in every run. All of them can be read back by :mod:`knowlip.language.claims`.
"""

import hashlib
from typing import Final

_WORDINGS: Final[dict[str, str]] = {
    # ---- targets: {number} in words, {noun} in the right number, {is} is or are, {lie} lies or lie
    "count": "{number} {noun} {is} visible in the scene|there {is} {number} {noun} in the image|"
    "the scene contains {number} {noun}|{number} {noun} can be seen in this radar image|"
    "a total of {number} {noun} {is} present",
    "count none": "no {noun} {is} visible in the scene|there {is} no {noun} in the image|the scene contains no {noun}|"
    "no {noun} can be seen in this radar image|no {noun} {is} present",
    "location": "the {noun} {lie} {where}|the {noun} {is} located {where}|the {noun} can be found {where}|"
    "{where} the {noun} can be seen|the position of the {noun} is {where}",
    "feature elongated": "elongated bright outline of the {noun}{axis}|the {noun} {show} an elongated shape{axis}|"
    "long narrow bright shape of the {noun}{axis}|the outline of the {noun} is elongated{axis}|"
    "a hull drawn out in length marks the {noun}{axis}",
    "feature cross": "the {noun} {show} fuselage and wings|fuselage and wings give the {noun} the shape of a cross|"
    "cross shape of the {noun} with wings and tail|wings and fuselage of the {noun} are resolved|"
    "the outline of the {noun} is that of a cross",
    "feature compact": "the {noun} {show} as compact bright points|small compact outline of the {noun}|"
    "the {noun} {is} small and compact|compact spots mark the {noun}|bright points of compact shape are the {noun}",
    "size": "the {noun} {is} about {length} meters long|the length of the {noun} is about {length} meters|"
    "the {noun} {measure} about {length} meters in length|about {length} meters long|"
    "with a length of about {length} meters",
    "size pixels": "the {noun} {is} about {length} pixels long|the length of the {noun} is about {length} pixels|"
    "the {noun} {measure} about {length} pixels in length|about {length} pixels long|"
    "with a length of about {length} pixels",
    "category": "the {noun} {is} labelled {types}|category {types}|the labels name {types}|"
    "by type the {noun} {is} {types}|{types} as labelled",
    "shown": "the image shows {types}|{types} can be seen|the image is of {types}|the target is {types}|"
    "what the image shows is {types}",
    "pattern single": "a single {noun} stands alone|the {noun} is isolated|only one {noun}, alone in the scene|"
    "the {noun} stands by itself, alone|one lone {noun}",
    "pattern row": "the {noun} are lined up in a row|the {noun} stand in a line|the {noun} form a row|"
    "the {noun} are aligned one after the other|arranged in a row",
    "pattern cluster": "the {noun} are clustered close together|the {noun} form a dense group|"
    "the {noun} are grouped closely|the {noun} stand close together|arranged in a cluster",
    "pattern scattered": "the {noun} are scattered over the scene|the {noun} are spread over the image|"
    "the {noun} are dispersed|the {noun} lie far apart from each other|scattered, without order",
    "shares": "{covers} of the scene|the scene is made up of {reversed}|by area, {covers}|"
    "the labelled area has {reversed}|shares of the area, {covers}",
    "environment open": "open water all around|open water surrounds the {noun}|the {noun} {is} on open water|"
    "the surroundings are open water|open sea on all sides",
    "environment": "the surroundings are {covers}|surrounded by {covers}|around the {noun}, {covers}|"
    "the scene around shows {covers}|set among {covers}",
    # ---- terrain
    "terrain": "mainly {main}|the terrain is {main}|most of the terrain is {main}|the largest part is {main}|"
    "{main} dominates",
    "terrain second": "mainly {main}, with {second}|the terrain is {main}, and there is {second}|"
    "the largest part is {main}, the next {second}|{main} dominates, followed by {second}|{main} beside {second}",
    "function": "the area serves as {use}|used as {use}|the function of the area is that of {use}|this is {use}|"
    "{use} by its land cover",
    "where": "{parts}|the image has {parts}|one finds {parts}|by the labels {parts}|the labels show {parts}",
    "layout uniform": "one continuous expanse of {one}|uniform, {one}|a homogeneous area of {one}|"
    "the scene is dominated by {one}|a single area of {one}",
    "layout two-part": "split into two parts, {one} and {two}|two parts, {one} and {two}|divided into {one} and {two}|"
    "the scene is split between {one} and {two}|two zones, {one} and {two}",
    "layout mosaic": "mosaic of {one}, {two} and {three}|patchwork of {one}, {two} and {three}|"
    "a mixed pattern of {one}, {two} and {three}|fragmented into {one}, {two} and {three}|"
    "{one}, {two} and {three} are interspersed",
    "boundary none": "no clear boundary inside the scene|there is no clear boundary|no sharp edge between covers|"
    "no major boundary in the scene|no visible border inside the image",
    "boundary": "{edge} between {one} and {two}{side}|{one} next to {two}{side}|{one} adjoining {two}{side}|"
    "the {edge} runs between {one} and {two}{side}|{one} beside {two}{side}",
    "buildings none": "no buildings in the scene|there are no buildings|buildings are absent|no built-up land|"
    "the scene is free of buildings",
    "buildings few": "few buildings{where}|there are few buildings{where}|sparse buildings{where}|"
    "a few isolated buildings{where}|sparsely built-up{where}",
    "buildings some": "some buildings{where}|there are some buildings{where}|a moderate number of buildings{where}|"
    "moderately built-up{where}|several groups of buildings{where}",
    "buildings many": "many buildings{where}|there are many buildings{where}|dense buildings{where}|"
    "densely built-up{where}|numerous buildings{where}",
    "roads none": "no road in the scene|there is no road|roads are absent|the scene is without roads|"
    "no road is labelled",
    "roads": "roads cross the scene{where}|there are roads{where}|roads can be seen{where}|roads are present{where}|"
    "a road network{where}",
    "water none": "no water in the scene|there is no water|no open water|the scene is dry|no water surface is labelled",
    "water": "water covers about {share} percent of the scene{where}|"
    "about {share} percent of the scene is water{where}|water makes up about {share} percent{where}|"
    "the share of water is about {share} percent{where}|about {share} percent water{where}",
}
TEMPLATES: Final = {name: tuple(wordings.split("|")) for name, wordings in _WORDINGS.items()}
"""Statement -> its five wordings."""


def choose(name: str, chance: str | int, **words: object) -> str:
    """A wording of a statement.

    Args:
        name: key of `TEMPLATES`.
        chance: name of a tile, whose hash decides; or the number of the wording, which counts around.
        words: what the wording names.
    """
    number = chance
    if isinstance(number, str):
        number = hashlib.sha256(f"{name.split()[0]} {number}".encode()).digest()[0]
    wordings = TEMPLATES[name]
    return wordings[number % len(wordings)].format(**words)
