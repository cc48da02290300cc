"""How sure the answers of our model may be taken to be, and when it had better refuse: fitted on simulated places,
measured on others.

    knowlip simulate --out SCENES --cities 10 --first_city 100 --seed 190
    python -m benchmarks.ask_evidence SCENES [--model FOLDER] [--write] [--tiles 60] [--own_pixels] [--scores FILE]

The cities of SCENES are dealt in two by turns: one half fits, the other is measured; no training saw the cities nor the
seed. Tiles are cut as a build cuts them (1024, 512 and 256 m, one quantiser a scene), those of scenes of 1 m also after
averaging to coarser pixels with speckle of four looks. Every tile is asked what its truth clearly answers: how many
ships and how many aircraft of every tile, none included, and the others as `knowlip evaluate` asks them.

Fitted, each kind of question by subject: a temperature (the smallest squared error of the confidence; 1 unless that of
all cities but one clearly helps the one that was left out), the share that is right without
looking (the most frequent answer; of numbers where none is as frequent as the most frequent other one), the coarsest
pixels on which more answers are right than that, and the probability of "none" from which on types and places are not
told. Measured on the other places: calibration error and risk over coverage before and after, beside blind answers and
the image of another tile; what is refused, rightly and wrongly; questions in people's words that are of no kind.
--write puts what was fitted beside the weights (`answers.json`), where what `benchmarks.changes` and
`benchmarks.scene_totals` have put there stays. --own_pixels cuts no coarser tiles; --scores keeps what the model said.
"""

import argparse
import pickle
import time
from pathlib import Path
from typing import Final

from benchmarks.ask_fit import absent_limits, fitted
from benchmarks.ask_measures import absent, by_size, measured, scope, together
from benchmarks.ask_scores import Put, city_of, scored
from benchmarks.record import record
from knowlip.base.documents import read_json
from knowlip.base.files import file_sha256, write_json
from knowlip.inference.calibration import FORMAT
from knowlip.inference.opened import open_model
from knowlip.language.questions import QuestionType
from knowlip.models.hub import ANSWERS, WEIGHTS

RESULT: Final = Path(__file__).parent / "results" / "ask_evidence.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tiles", type=int, default=60, help="of each scene and pixel size")
    parser.add_argument("--write", action="store_true", help="put answers.json beside the weights")
    parser.add_argument("--own_pixels", action="store_true", help="no scene is made coarser")
    parser.add_argument("--scores", type=Path, help="file that keeps what the model said, or holds it already")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    started = time.process_time()
    model, folder = open_model(options.model, "cpu")
    paths = sorted(path for path in options.scenes.glob("*.tif") if not path.name.endswith(".landcover.tif"))
    cities = sorted({city_of(path) for path in paths})
    before = read_json(folder / ANSWERS) if (folder / ANSWERS).is_file() else {}
    kept_scores = options.scores is not None and options.scores.is_file()
    if kept_scores:
        candidates, numbers, rows = pickle.loads(options.scores.read_bytes())
        puts = [Put(*row) for row in rows]
    else:
        candidates, numbers, puts = scored(model, paths, options.tiles, options.own_pixels, before)
        if options.scores is not None:
            options.scores.write_bytes(pickle.dumps((candidates, numbers, [tuple(put) for put in puts])))
    fit, test = ([put for put in puts if cities.index(put.city) % 2 == half] for half in (0, 1))
    kinds = fitted(fit, candidates)
    number = candidates[QuestionType.COUNT]
    through = max(range(3), key=lambda one: scope(0, one)["outside_refused"] - scope(0, one)["inside_refused"])
    said = {
        "format": FORMAT,
        "weights_sha256": file_sha256(folder / WEIGHTS),
        "kinds": kinds,
        "absent": absent_limits(fit, kinds, number),
        "let_through": through,
        "fitted_on": {"cities": cities[::2], "questions": len(fit)},
    }
    if options.write:
        kept = {name: before[name] for name in ("changes", "totals") if name in before}
        same = before.get("weights_sha256") == said["weights_sha256"]
        write_json(folder / ANSWERS, said | (kept if same else {}))
    figures = measured(test, fit, said, candidates)
    every = together(test, said, candidates)
    rest = {
        "command": f"python -m benchmarks.ask_evidence SCENES --tiles {options.tiles} --write"
        + " --own_pixels" * options.own_pixels,
        "questions": {"fitted": len(fit), "measured": len(test), "at_own_pixels": every["n"]},
        "tiles": numbers,
        "cities": {"fitted": cities[::2], "measured": cities[1::2]},
        "all": every,
        "kinds": figures,
        "by_pixels": by_size(test, said, candidates),
        "absent": absent(test, said, number),
        "scope": {
            "fitted": {str(one): scope(0, one) for one in range(3)},
            "let_through": through,
            "measured": scope(1, through),
        },
        "answers": said,
        "cpu_seconds": None if kept_scores else round(time.process_time() - started, 1),
    }
    record(
        options.out,
        every["ece_after"],
        every["ece_perfect"],
        "calibration error of the confidence over all kinds, and that of as many answers of a perfectly calibrated one",
        rest,
        "one core",
    )


if __name__ == "__main__":
    main()
