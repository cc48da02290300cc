"""Claims as single facts: what can be counted, and compared between the texts of several tiles."""

import math

from knowlip.language.claims import Claims


def facts_of(claims: Claims) -> list[str]:
    """The facts that claims consist of, in order: "main=water", "regions=4", "where=field@2", "length_m~9".

    Numbers go by size: counts by octave, lengths by half octave, shares by quarter. The category is no fact: it is said
    with every claim about targets.
    """
    found: list[str] = []
    for name, value in claims.items():
        if name == "category":
            continue
        if name in ("count", "count_range"):
            number = value if isinstance(value, int) else sum(value) / 2  # type: ignore[call-overload]
            found.append(f"count~{int(math.log2(number)) + 1 if number >= 1 else 0}")
        elif name == "length_m":
            found.append(f"length_m~{round(2 * math.log2(max(1.0, float(value))))}")  # type: ignore[arg-type]
        elif name == "shares":
            found += [f"share={cover}~{round(4 * share)}" for cover, share in value.items()]  # type: ignore[attr-defined]
        elif name == "where":
            for cover, regions in value.items():  # type: ignore[attr-defined]
                found += [f"covers={cover}", *(f"where={cover}@{region}" for region in regions)]
        elif isinstance(value, list):
            found += [f"{name}={one}" for one in value]
        else:
            found.append(f"{name}={value}")
    return list(dict.fromkeys(found))
