"""Keep the results of a demo: the figures as JSON, and the table of docs/results.md on standard output.

python -m benchmarks.demo DEMO_FOLDER
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.record import record
from knowlip.base.files import read_json

_QUESTIONS = {
    "all_landforms": "all landforms", "count": "count", "main_landform": "main landform", "position": "position",
    "recognition": "recognition", "regional_landform": "regional landform",
}  # fmt: skip


def rows(m: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Measure, value, interval, what it is compared with, number."""
    found = []
    for way, name in (("image_to_text", "image → text"), ("text_to_image", "text → image")):
        part = m["retrieval"][way]
        for k in ("r1", "r5", "r10"):
            low_high = _interval(part["ci"][k])
            against = f"chance {part[f'chance_{k}']:.1%}"
            found.append((f"{name} R@{k[1:]}", f"{part[k]:.1%}", low_high, against, str(part["n"])))
    for key, name in _QUESTIONS.items():
        part = m["vqa"][key]
        against = f"majority {part['majority']:.1%}"
        found.append((f"question: {name}", f"{part['accuracy']:.1%}", _interval(part["ci"]), against, str(part["n"])))
    caption = m["caption"]
    against = f"one fixed text {caption['baseline_bleu4']:.3f}, {caption['baseline_cider']:.2f}"
    value = f"{caption['bleu4']:.3f}, {caption['cider']:.2f}"
    found.append(("caption BLEU-4, CIDEr", value, "", against, str(caption["n"])))
    claims = caption["claims"]
    against = f"one fixed text {claims['baseline_true']:.1%}; the annotator {claims['annotator_true']:.1%}"
    value, low_high = f"{claims['true']:.1%}", _interval(claims["ci"])
    found.append(("claims in captions that are true", value, low_high, against, str(claims["n"])))
    scio, text = m["scio"], m["text_accuracy"]
    if scio.get("precision") is not None:
        against = f"base rate {scio['base_rate']:.1%}"
        low_high = _interval(scio["precision_ci"])
        found.append(("screening precision", f"{scio['precision']:.1%}", low_high, against, str(scio["n_flagged"])))
    against = f"flagged {scio['flag_rate']:.1%}"
    low_high = _interval(scio["recall_ci"])
    found.append(("screening recall", f"{scio['recall']:.1%}", low_high, against, str(scio["n_wrong"])))
    found.append(("screening AUROC", f"{scio['auroc']:.3f}", "", "chance 0.500", str(scio["n"])))
    against = f"before {text['before']:.1%}"
    low_high = _interval(text["after_ci"])
    found.append(("true sub-texts after SCIO", f"{text['after']:.1%}", low_high, against, str(text["n_after"])))
    new = text["rewritten"]
    found.append(("rewritten: mended, spoiled", f"{new['mended']}, {new['spoiled']}", "", "", str(new["n"])))
    return found


def _interval(pair: list[float] | None) -> str:
    return f"{100 * pair[0]:.1f}–{100 * pair[1]:.1f}" if pair else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "demo.json")
    options = parser.parse_args()
    metrics = read_json(next(options.demo.rglob("metrics.json")))
    first = metrics["retrieval"]["image_to_text"]
    unit = "image-to-text R@1 on unseen cities; baseline: chance"
    record(options.out, first["r1"], first["chance_r1"], unit, {"command": "make demo", "metrics": metrics})
    print("| measure | value | 95 % interval | compared with | n |\n|---|---|---|---|---|")
    for row in rows(metrics):
        print(f"| {' | '.join(row)} |".replace("%", " %"))
    print({name: round(seconds) for name, seconds in metrics["seconds"].items()})


if __name__ == "__main__":
    main()
