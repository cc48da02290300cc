"""Parts of the world: the region and continent of a country, and the sea off a coast."""

import re
from typing import Final

_REGIONS: Final = """
Northern Europe|Europe: AX DK EE FI FO GB GG IE IM IS JE LT LV NO SE SJ
Western Europe|Europe: AT BE CH DE FR LI LU MC NL
Southern Europe|Europe: AD AL BA ES GI GR HR IT ME MK MT PT RS SI SM VA XK
Eastern Europe|Europe: BG BY CZ HU MD PL RO SK UA
Northern Africa|Africa: DZ EG EH LY MA SD TN
Eastern Africa|Africa: BI DJ ER ET IO KE KM MG MU MW MZ RE RW SC SO SS TZ UG YT ZM ZW
Central Africa|Africa: AO CD CF CG CM GA GQ ST TD
Southern Africa|Africa: BW LS NA SZ ZA
Western Africa|Africa: BF BJ CI CV GH GM GN GW LR ML MR NE NG SH SL SN TG
the Caribbean|the Americas: AG AI AW BB BL BQ BS CU CW DM DO GD GP HT JM KN KY LC MF MQ MS PR SX TC TT VC VG VI
Central America|the Americas: BZ CR GT HN MX NI PA SV
South America|the Americas: AR BO BR CL CO EC FK GF GY PE PY SR UY VE
North America|the Americas: BM CA GL PM US
Central Asia|Asia: KG KZ TJ TM UZ
Eastern Asia|Asia: CN HK JP KP KR MN MO TW
South-East Asia|Asia: BN ID KH LA MM MY PH SG TH TL VN
Southern Asia|Asia: AF BD BT IN IR LK MV NP PK
Western Asia|Asia: AE AM AZ BH CY GE IL IQ JO KW LB OM PS QA SA SY TR YE
Australasia|Oceania: AU CC CX NF NZ
Melanesia|Oceania: FJ NC PG SB VU
Micronesia|Oceania: FM GU KI MH MP NR PW
Polynesia|Oceania: AS CK NU PF PN TK TO TV WF WS
"""
"""The United Nations' geoscheme (M49) in everyday words. Russia, which lies on two continents, is left out."""
_OF: Final = {
    code: (region, continent)
    for region, continent, codes in re.findall(r"(?m)^(.+?)\|(.+?): (.+)$", _REGIONS)
    for code in codes.split()
}

_SEAS: Final = """
Sea of Marmara: 26.8 40.2 30.2 41.1
Sea of Azov: 34.9 45.3 39.3 47.3
Black Sea: 27.4 41.15 41.9 47.0
Red Sea: 32.3 13.0 43.2 29.9
Mediterranean Sea: 8.0 30.4 36.3 45.9 | -4.5 35.0 9.8 42.6 | 3.0 42.3 10.0 44.5
English Channel: -4.0 49.3 1.0 50.9
North Sea: -1.5 51.2 8.9 58.0
Baltic Sea: 13.5 53.8 30.5 60.5 | 17.0 60.5 26.0 66.0
Irish Sea: -6.0 52.2 -2.8 54.8
Bay of Biscay: -6.0 43.2 -1.2 47.0
Norwegian Sea: 5.0 62.0 15.0 69.0
Persian Gulf: 47.5 24.0 55.9 30.6
Gulf of Oman: 56.6 23.0 61.5 25.8
Gulf of Aden: 43.6 10.5 51.0 14.5
Arabian Sea: 61.5 9.0 76.9 25.2
Bay of Bengal: 79.9 10.0 94.5 22.8
Singapore Strait: 103.4 1.1 104.6 1.6
Strait of Malacca: 99.5 2.0 101.8 6.0
Gulf of Thailand: 99.4 6.5 104.6 13.7
South China Sea: 106.6 4.0 119.8 22.6
East China Sea: 119.8 26.2 124.0 32.0
Bohai Sea: 117.4 37.3 120.9 40.9
Yellow Sea: 119.2 32.5 126.7 37.2 | 124.0 37.2 126.9 39.9
Sea of Japan: 128.4 36.3 133.5 43.3 | 135.5 36.3 139.2 38.2
Java Sea: 106.2 -6.8 114.5 -5.0
Tasman Sea: 149.9 -37.4 153.7 -28.3
Coral Sea: 144.8 -24.5 153.0 -14.0
Bass Strait: 143.3 -40.8 148.2 -37.6
Gulf of Mexico: -97.9 18.3 -88.7 30.9 | -88.6 28.8 -83.2 30.9 | -83.0 25.5 -81.8 29.2
Caribbean Sea: -76.5 9.6 -61.8 14.0 | -78.5 17.6 -76.0 18.6
Hudson Bay: -95.0 51.0 -77.5 63.5
Gulf of Guinea: -5.0 3.0 9.8 6.9
Atlantic Ocean: -81.4 31.0 -50.0 48.0 | -81.2 25.0 -79.5 31.0 | -62.0 -50.0 -34.0 8.0 | -60.0 -60.0 -19.0 62.0
Atlantic Ocean: -19.0 6.9 -5.5 33.5 | 8.5 -35.0 18.3 3.0 | -10.0 37.2 -7.9 43.8 | -11.0 51.0 -6.2 59.0
Atlantic Ocean: -19.0 -60.0 8.0 3.0
Pacific Ocean: -180.0 -60.0 -121.0 60.0 | -125.0 32.5 -117.0 49.5 | -107.0 15.8 -98.0 24.0 | -120.0 -60.0 -110.0 20.0
Pacific Ocean: -82.0 -50.0 -70.0 -2.0 | 139.2 34.3 141.2 36.6 | 134.0 33.0 138.9 35.2 | 172.5 -47.5 180.0 -34.0
Pacific Ocean: 155.0 -20.0 180.0 50.0 | -110.0 -50.0 -82.0 6.0
Indian Ocean: 27.0 -34.5 60.0 10.0 | 50.0 -60.0 95.0 5.0 | 112.0 -35.5 117.0 -20.0 | 105.0 -10.0 114.0 -7.5
"""
"""Boxes (west, south, east, north, degrees) within which the nearest sea is surely the one named; gaps are left."""
_BOXES: Final = tuple(
    (name, tuple(float(number) for number in box.split()))
    for name, boxes in re.findall(r"(?m)^(.+?): (.+)$", _SEAS)
    for box in boxes.split("|")
)


def region_of_country(code: str) -> tuple[str, str]:
    """Region and continent of an ISO 3166 alpha-2 code, e.g. "KE" -> ("Eastern Africa", "Africa"); ("", "") unknown."""
    return _OF.get(code, ("", ""))


def sea_off(lon: float, lat: float) -> str:
    """The sea that a point at sea or near its coast belongs to; "" where the table does not say."""
    if lat >= 72.0:
        return "Arctic Ocean"
    if lat <= -62.0:
        return "Southern Ocean"
    for name, (west, south, east, north) in _BOXES:
        if west <= lon <= east and south <= lat <= north:
            return name
    return ""
