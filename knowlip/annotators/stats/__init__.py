"""`knowlip text stats`: what the texts of a data set, or of caption files, are like; numbers, pictures and one page."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from knowlip.annotators.stats.clouds import check_package
from knowlip.annotators.stats.lexical import HEDGES, STOP_WORDS, THRESHOLD
from knowlip.annotators.tokens import FRAME, TokenizerFile
from knowlip.base.files import check_replaceable, whole_folder, write_json
from knowlip.base.progress import say


@dataclass(frozen=True)
class TextStatsConfig:
    """Which texts to measure and where to draw them."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: str
    """Folder of a data set, or a file with captions (.json, .jsonl, .txt); NAME=PATH gives it a name."""
    out: Path | None = None
    """Folder for stats.json, PNG pictures and text-stats.html; an older one is replaced. Without it, numbers only."""
    revision: int | None = None
    """Text revision of the data set; the newest where not given."""
    compare: list[str] = field(default_factory=list)
    """Other data sets or files with captions to stand beside it, measured in the same way; NAME=PATH gives a name.
    Files: .json with a list of records (eight fields, or `caption`, `text`, `raw`, `description`, `sentence`, or bare
    texts) or with `images` that have `sentences` (RSICD, RSITMD, UCM, Sydney) or `annotations` that have a `caption`
    (COCO), or NAME: record (NWPU-Captions); .jsonl of records; .csv and .tsv with a column of captions (RS5M,
    SkyScript, RemoteCLIP); .txt with a caption a line. docs/text-analysis.md says more."""
    tokenizer: Path | None = None
    """vocab.txt of BERT, or a tokenizer.json: counts tokens and what is cut off. No token counts where not given."""
    token_length: int = 256
    """Places for tokens of the model that will read the captions, [CLS] and [SEP] included."""
    clouds: bool = True
    """Draw word clouds (package `wordcloud`)."""
    projection: Literal["tsne", "none"] = "tsne"
    """Maps of images, texts and template texts, or "none"."""
    most_points: int = 1500
    """Tiles in a map, drawn by lot; more take longer and show little more."""
    image_features: Path | None = None
    """.npz with tile_id (N,) and feature (N, D) for the map of images; by default figures q_* and g_* of the index."""
    text_features: Path | None = None
    """The same for the map of texts; by default TF-IDF and SVD."""
    templates: str = ""
    """Data set of the same tiles with template texts, or a caption file whose records have a tile_id; by default those
    that the `labels` annotator writes."""
    seed: int = 0
    """The same seed gives the same numbers and pictures."""
    title: str = ""
    """Headline; by default the name of the first source."""


def text_stats(config: TextStatsConfig) -> dict[str, Any]:
    """Measure the texts and, with `out`, draw them.

    Returns:
        {"corpora": [numbers, see :func:`.measure.measure`], "compared": [the first source beside each other one that
        speaks of the same tiles, see :func:`.compared.compare`], "projection": facts, "settings": ...}

    Raises:
        ValueError: a source without texts, no tokenizer, or `out` holds something other than an older result.
    """
    from knowlip.annotators.stats.compared import compare
    from knowlip.annotators.stats.corpus import load
    from knowlip.annotators.stats.measure import measure
    from knowlip.annotators.stats.projection import project

    # All that can be refused is refused before the first source is measured: large ones take minutes.
    if config.token_length <= FRAME:
        raise ValueError(f"The token length is {config.token_length}; give one above {FRAME}.")
    if config.most_points < 1:
        raise ValueError(f"At most {config.most_points} points cannot be drawn; give a positive number.")
    if config.out is not None:
        check_replaceable(config.out, "stats.json", ("text-stats.html", "*.png"))
        if config.clouds:
            check_package()
    corpora = [load(config.dataset, config.revision), *(load(source) for source in config.compare)]
    names = [corpus.name for corpus in corpora]
    if len(set(names)) < len(names):
        raise ValueError(f"Two sources have the same name ({', '.join(names)}): give names with NAME=PATH.")
    tokens = TokenizerFile(config.tokenizer) if config.tokenizer else None
    numbers: dict[str, Any] = {"corpora": []}
    for corpus in corpora:
        say(f"{corpus.name}: {corpus.records:,} captions")
        numbers["corpora"].append(measure(corpus, tokens, config.token_length, config.seed))
    pairs = (compare(corpora[0], other) for other in corpora[1:])
    numbers["compared"] = [pair for pair in pairs if pair]
    numbers["settings"] = {
        "seed": config.seed,
        "mtld_threshold": THRESHOLD,
        "hedges": list(HEDGES),
        "stop_words": sorted(STOP_WORDS),
        "tokenizer": config.tokenizer.name if config.tokenizer else "",
    }
    projected = None
    if config.projection != "none":
        files = (config.image_features, config.text_features)
        projected = project(corpora, config.most_points, config.seed, *files, config.templates)
        numbers["projection"] = projected.facts
    if config.out is None:
        return numbers
    from knowlip.annotators.stats.figures import draw
    from knowlip.annotators.stats.page import page
    from knowlip.annotators.stats.panels import panels

    title = config.title or names[0]
    with whole_folder(config.out) as folder:
        write_json(folder / "stats.json", numbers)
        maps = vars(projected) if projected else None
        draw(corpora, numbers, maps, folder, title, config.seed, config.clouds)
        charts = panels(corpora, numbers, maps, config.seed, config.clouds)
        (folder / "text-stats.html").write_text(page(numbers, charts, title))
        names = sorted(path.name for path in folder.iterdir())
    return {**numbers, "out": str(config.out), "files": names}


def show(result: dict[str, Any]) -> str:
    """The main numbers for people."""
    # A line a source; what rests on the image alone needs no second one.
    lines = []
    for numbers in result["corpora"]:
        length, hedging, duplicates = numbers["length"]["words"], numbers["hedging"], numbers["duplicates"]
        line = (
            f"{numbers['name']}: {numbers['captions']:,} captions of {length['mean']:.1f} words "
            f"({length['min']} to {length['max']}), vocabulary {numbers['vocabulary']:,}, MTLD {numbers['mtld']:.1f}, "
            f"hedged {100 * hedging['captions']:.1f} %, duplicates {100 * duplicates['captions']:.1f} % "
            f"({100 * duplicates['sub_texts']:.1f} % of sub-texts)"
        )
        if "truncation" in numbers:
            cut = numbers["truncation"]
            line += f", {100 * cut['truncated']:.1f} % longer than {cut['token_length']} tokens"
        lines.append(line)
        rests = numbers.get("by_evidence", {})
        if len(rests) > 1:
            lines.append("  rests on " + ", ".join(f"{kind} {100 * of['share']:.0f} %" for kind, of in rests.items()))
    for pair in result.get("compared", []):
        both = sum(row["claims"]["both"] for row in pair["dimensions"])
        agree = sum(row["claims"]["agree"] for row in pair["dimensions"])
        line = f"{' beside '.join(pair['names'])}: {pair['records']:,} tiles in both, {100 * pair['same_set']:.1f} % "
        line += "with the same instruction set"
        lines.append(
            line + (f"; claims that agree: {agree:,} of {both:,} ({100 * agree / both:.1f} %)" if both else "")
        )
    facts = result.get("projection", {})
    if "text_neighbours_shared" in facts:
        line = f"nearest neighbours shared with the images: texts {100 * facts['text_neighbours_shared']:.1f} %"
        if "template_neighbours_shared" in facts:
            line += f", templates {100 * facts['template_neighbours_shared']:.1f} %"
        lines.append(f"{line}, chance {100 * facts['neighbours_by_chance']:.1f} %")
    if "out" in result:
        lines.append(f"{result['out']}: {', '.join(result['files'])}")
    return "\n".join(lines)
