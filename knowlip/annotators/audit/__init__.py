"""Experts judge a sample of the texts: draw it, serve the page, report what was said."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from knowlip.annotators.audit.page import Sheets, make_app
from knowlip.annotators.audit.sampling import AuditSample, draw, load, save, texts_digest
from knowlip.annotators.audit.store import Verdicts
from knowlip.dataset import Dataset
from knowlip.pages.server import serve

SHARE, AT_LEAST, SEED = 0.02, 5, 0


@dataclass(frozen=True)
class AuditConfig:
    """What is audited, and where what raters say is kept."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of an annotated data set."""
    revision: int | None = None
    """Revision of the texts; default: the newest."""
    share: float | None = None
    """Share of the tiles to draw of each instruction set and scale (default: 0.02)."""
    at_least: int | None = None
    """Tiles to draw of each instruction set and scale at least (default: 5)."""
    seed: int | None = None
    """Another seed draws other tiles (default: 0)."""
    out: Path | None = None
    """Folder of the sample and the verdicts; default: DATASET/audit/revision-N."""
    report: Path | None = None
    """Write audit.json, audit.html and audit.png to this folder, and open no page."""
    judge: bool = False
    """With --report, of a data set with truth: put what truth says of each text beside the raters' verdicts."""
    host: str = "127.0.0.1"
    """Address to listen at. The page asks for no password: leave it at this machine unless the network is trusted."""
    port: int = 8766
    """Port to listen at."""


def text_audit(config: AuditConfig) -> dict[str, Any]:
    """Serve the page until it is stopped, or write the report.

    Returns:
        `sample` (file), `tiles` (drawn), `verdicts` (file), `judged` (rater -> finished tiles), and with a report
        `report` (folder), `overall` and `by_evidence` (see docs/text-audit.md).

    Raises:
        ValueError: no annotated data set, a sample of other settings is there already, broken files, no verdicts to
            report on, no truth to judge by, or the extra `serve` is not installed.
    """
    if config.judge and config.report is None:
        raise ValueError("Truth stands in the report alone: give --report FOLDER with --judge.")
    # What is asked for in vain is refused before the sample is drawn and the page opened.
    dataset = Dataset(config.dataset)
    if config.judge and not dataset.truth():
        raise ValueError(f"{config.dataset} has no truth to judge by; leave --judge out.")
    revisions = dataset.revisions()
    if not revisions:
        raise ValueError(f"{config.dataset} has no texts yet: annotate it before it is audited.")
    revision = revisions[-1] if config.revision is None else config.revision
    if revision not in revisions:
        raise ValueError(f"{config.dataset} has no text revision {revision}; it has {revisions[0]} to {revisions[-1]}.")
    folder = config.out or config.dataset / "audit" / f"revision-{revision}"
    sample = the_sample(dataset, revision, folder / "sample.json", config)
    verdicts = Verdicts(folder / "verdicts.jsonl")
    sheets = Sheets(dataset, sample)
    result: dict[str, Any] = {"sample": str(folder / "sample.json"), "tiles": len(sample.tiles)}
    result["verdicts"] = str(verdicts.path)
    if config.report is None:
        what = f"Judge the texts of {len(sample.tiles)} tiles (revision {revision})"
        serve(make_app(sheets, verdicts, config.host), config.host, config.port, what)
    else:
        from knowlip.annotators.audit.report import write_report

        report = write_report(config.report, dataset, sample, sheets, verdicts, config.judge)
        result |= {name: report[name] for name in ("overall", "by_evidence")}
        result["report"] = str(config.report)
    given = {rater: verdicts.of(rater) for rater in verdicts.raters()}
    result["judged"] = {
        rater: sum(all((tile, slot) in of for slot in sheets.slots[tile]) for tile in sample.tiles)
        for rater, of in given.items()
    }
    return result


def show(result: dict[str, Any]) -> str:
    """The result for people."""
    done = ", ".join(f"{rater} {number}" for rater, number in result["judged"].items()) or "nobody yet"
    lines = [f"{result['tiles']} tiles drawn ({result['sample']}); finished: {done}"]
    if "report" in result:
        cell = result["overall"]
        if cell["accuracy"] is not None:
            low, high = cell["interval"]
            lines.append(
                f"{cell['right']} of {cell['right'] + cell['wrong']} sub-texts right: {cell['accuracy']:.1%} "
                f"({low:.1%} to {high:.1%}), {cell['unsure_share']:.1%} unsure"
            )
        rests = {kind: of for kind, of in result["by_evidence"].items() if of["accuracy"] is not None}
        if len(rests) > 1:
            told = (f"{kind} {of['accuracy']:.1%} of {of['right'] + of['wrong']}" for kind, of in rests.items())
            lines.append("sentences right by what they rest on: " + ", ".join(told))
        lines.append(f"{result['report']}/audit.html")
    return "\n".join(lines)


def the_sample(dataset: Dataset, revision: int, path: Path, config: AuditConfig) -> AuditSample:
    """The sample in `path`; it is drawn and stored there when there is none.

    Raises:
        ValueError: the one that is there was drawn with other settings, or from other tiles or texts.
    """
    # A sample is drawn once: verdicts are about its texts, so that another draw, or other texts, need another folder.
    texts = dataset.texts(revision)
    if path.exists():
        sample = load(path)
        for name in ("share", "at_least", "seed"):
            asked, there = getattr(config, name), getattr(sample, name)
            if asked is not None and not math.isclose(asked, there):
                raise ValueError(f"{path} was drawn with {name} {there}, not {asked}: name another folder with --out.")
        digest = texts_digest(texts, sample.tiles)
        if (sample.revision, sample.fingerprint, sample.texts_sha256) != (revision, dataset.fingerprint, digest):
            raise ValueError(f"{path} was drawn from other tiles or texts than {dataset.path} holds in this revision.")
        return sample
    share = SHARE if config.share is None else config.share
    at_least = AT_LEAST if config.at_least is None else config.at_least
    seed = SEED if config.seed is None else config.seed
    tiles = dataset.tiles()
    scale = dict(zip(tiles["tile_id"], tiles["scale"]))
    kinds = dict(zip(texts["tile_id"], texts["instruction_set"]))
    strata, chosen = draw({t: (k, scale[t]) for t, k in kinds.items() if t in scale}, share, at_least, seed)
    if not chosen:
        raise ValueError(f"Revision {revision} of {dataset.path} holds no texts to audit.")
    sample = AuditSample(
        revision, seed, share, at_least, dataset.fingerprint, texts_digest(texts, chosen), tuple(strata), tuple(chosen)
    )
    save(path, sample)
    return sample
