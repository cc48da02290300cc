"""Published caption records: free-text layouts read back, and what of their sentences `language/claims.py` recognises.

python -m benchmarks.paper_captions [--records FILE] [--out benchmarks/results/paper_captions.json]
"""

import argparse
import json
import time
from pathlib import Path

from benchmarks.record import record
from knowlip.annotators.openai.free_form import parse_free_form
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import DIMENSIONS
from tests.annotators.test_free_form import LAYOUTS, RECORDS, same


def read_back(records: list[dict[str, str]]) -> dict[str, int]:
    """Layout -> how many records come back with all eight texts and the right set."""
    whole = {}
    for name, write in LAYOUTS.items():
        whole[name] = 0
        for item in records:
            read = parse_free_form(write([(key, item[key]) for key in DIMENSIONS["terrain"]]))
            texts = [same(read.texts.get(key, ""), item[key]) for key in DIMENSIONS["terrain"]]
            whole[name] += all(texts) and read.instruction_set == "terrain"
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS, help="JSON list of records with eight terrain fields")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "paper_captions.json")
    options = parser.parse_args()
    records = json.loads(options.records.read_text())
    recognised = {
        name: sum(bool(parse_claims("terrain", name, record[name])) for record in records)
        for name in DIMENSIONS["terrain"]
    }
    started = time.perf_counter()
    whole = read_back(records)
    each_ms = (time.perf_counter() - started) * 1e3 / (len(records) * len(LAYOUTS))
    result = {
        "records": len(records),
        "claims_recognised": recognised,
        "records_read_back": whole,
        "ms_per_record": round(each_ms, 2),
    }
    unit = "share of records that every free-text layout gives back without loss; baseline: all"
    record(options.out, min(whole.values()) / len(records), 1.0, unit, result, "one core")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
