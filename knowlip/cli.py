"""Commands: typed functions behind a shell. Only wiring stands here.

Settings of a stage come, in rising order, from its dataclass, from a recipe's section (`--recipe`), from a YAML file
(`--config`) and from flags. Bad input ends with one sentence and exit code 2.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from knowlip.options import alternatives, generation_of, generation_options, told

SUMMARY = {
    "demo": "run everything: scenes to tiles, texts, a trained model, its measured results and a report",
    "simulate": "make simulated SAR scenes of three sensors with exact truth",
    "build": "cut SAR scenes into a georeferenced data set of tiles at three scales",
    "annotate": "write the eight sub-texts of every tile, offline or with a language model",
    "prompt": "print exactly what would be sent to a language model for one tile",
    "text stats": "measure and draw what the texts of a data set are like, beside other captions",
    "text check": "find contradictions, impossible sizes and bad wording in the texts of a data set",
    "text audit": "let experts judge a sample of the texts in the browser, and report what they found",
    "pretrain": "train a model on a data set in the three SCIO stages",
    "scio screen": "find wrong sub-texts in a data set with a trained model",
    "scio reconstruct": "write anew what screening called noise",
    "scio show": "show what screening and reconstruction did to the texts of a tile",
    "scio report": "count and draw what screening and reconstruction decided",
    "finetune": "teach a pre-trained model to answer questions about tiles",
    "evaluate": "measure a model on places that training never saw",
    "ablation": "train and question models on template, annotated, screened and rewritten texts",
    "report": "write one HTML file about a run",
    "caption": "describe SAR images",
    "ask": "answer a question about a SAR image",
    "search": "find the tiles of a data set that fit a text",
    "scene info": "print what is understood of SAR products: sensor, geometry, radiometry, place",
    "cities": "pick cities for a data set and draw what they cover",
    "dataset verify": "check counts, hashes, schema, splits and duplicates of a data set",
    "dataset stats": "measure and draw what a data set holds",
    "dataset export": "write a data set as COCO, YOLO, DOTA, open_clip CSV, LLaVA or image folders",
    "dataset import": "bring a labelled public set into a data set with annotations",
    "dataset label": "mark good and bad tiles in the browser, for the quality filter",
    "dataset publish": "write the texts of a revision into the shards of a data set",
    "convert": "make a model folder from a BLIP, BERT or ViT checkpoint of another project",
    "export": "write both towers of a model as ONNX files, checked against PyTorch",
    "publish-model": "put a model on the Hugging Face hub",
}
STAGES = {
    "simulate": ("knowlip.simulator", "SimulateConfig"),
    "build": ("knowlip.tiles.build", "BuildConfig"),
    "annotate": ("knowlip.annotators.annotate", "AnnotateConfig"),
    "pretrain": ("knowlip.tasks.pretrain", "PretrainConfig"),
    "finetune": ("knowlip.tasks.vqa", "FinetuneConfig"),
    "evaluate": ("knowlip.benchmark.evaluate", "EvaluateConfig"),
    "report": ("knowlip.benchmark.report", "ReportConfig"),
}
"""Command -> module and the dataclass of its settings; the function has the command's name."""
TOOLS = {
    "scene info": ("knowlip.scenes.info", "SceneInfoConfig", "scene_info"),
    "cities": ("knowlip.tiles.cities", "CitiesConfig", "cities"),
    "prompt": ("knowlip.annotators.openai.show", "PromptConfig", "show_prompt"),
    "text stats": ("knowlip.annotators.stats", "StatsConfig", "text_stats"),
    "text check": ("knowlip.annotators.check.report", "CheckConfig", "text_check"),
    "text audit": ("knowlip.annotators.audit", "AuditConfig", "text_audit"),
    "ablation": ("knowlip.benchmark.ablation", "AblationConfig", "ablation"),
    "scio screen": ("knowlip.scio.commands", "PassConfig", "scio_screen"),
    "scio reconstruct": ("knowlip.scio.commands", "PassConfig", "scio_reconstruct"),
    "scio show": ("knowlip.scio.show", "ShowConfig", "show_history"),
    "scio report": ("knowlip.scio.report", "ReportConfig", "scio_report"),
    "dataset verify": ("knowlip.dataset.verify", "VerifyConfig", "verify_dataset"),
    "dataset stats": ("knowlip.dataset.stats", "DatasetStatsConfig", "dataset_stats"),
    "dataset export": ("knowlip.dataset.export", "DatasetExportConfig", "export_dataset"),
    "dataset import": ("knowlip.tiles.imports", "ImportConfig", "import_dataset"),
    "dataset label": ("knowlip.tiles.label", "LabelConfig", "label_tiles"),
    "dataset publish": ("knowlip.dataset.texts", "PublishConfig", "publish_dataset"),
    "convert": ("knowlip.models.weights.convert", "ConvertConfig", "convert"),
    "export": ("knowlip.models.export", "ExportConfig", "export_model"),
    "publish-model": ("knowlip.models.publish", "PublishModelConfig", "publish_model"),
}
"""Command -> module, dataclass of its settings, function. Settings named in the dataclass's `POSITIONAL` need no flag.
A function `show(result)` in the module makes the text for people; else the plain facts are printed on one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0 well, 2 bad input (one sentence on standard error), 130 stopped."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from knowlip import __version__

        print(__version__)
        return 0
    words = 2 if " ".join(arguments[:2]) in SUMMARY else 1
    command, rest = " ".join(arguments[:words]), arguments[words:]
    if command not in SUMMARY:
        print(f"knowlip: there is no command {command!r}; {_nearest(command)}", file=sys.stderr)
        return 2
    try:
        if command in STAGES:
            result = _stage(command, rest)
        else:
            result = _tool(command, rest) if command in TOOLS else _COMMANDS[command](rest)
        if result is not None and os.environ.get("RANK", "0") == "0":  # torchrun runs a command several times
            print(result)
        return 0
    except ValueError as error:
        return _fail(command, str(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _fail(command, f"{error.strerror or error}{where}.")
    except BrokenExecutor:
        return _fail(command, "A worker process died, probably for want of memory: use fewer workers.")
    except KeyboardInterrupt:
        print(f"knowlip {command}: stopped; the same command goes on from here.", file=sys.stderr)
        return 130


def _fail(command: str, sentence: str) -> int:
    sentence = " ".join(sentence.split())
    print(f"knowlip {command}: {sentence}{'' if sentence.endswith(('.', '?', '!')) else '.'}", file=sys.stderr)
    return 2


def _nearest(command: str) -> str:
    """What to type instead of a command that there is not."""
    group = [name for name in SUMMARY if name.startswith(f"{command} ")]
    return f"there are {', '.join(group)}." if group else "`knowlip --help` lists them."


def _overview() -> str:
    width = max(map(len, SUMMARY))
    lines = "\n".join(f"  {name:{width}}  {text}" for name, text in SUMMARY.items())
    return (
        "knowlip: vision-language models for SAR scenes\n\nusage: knowlip COMMAND [--help] ...\n\n"
        f"{lines}\n\nEvery command prints JSON to standard output with --json."
    )


# ---- stages: one dataclass of settings, one function ----------------------------------------------------------------


def _stage(command: str, arguments: list[str]) -> str | None:
    """Parse the settings of a stage and run it."""
    from knowlip.base.parsing import check_settings
    from knowlip.base.recipes import load_recipe

    module_name, kind_name = STAGES[command]
    kind = getattr(import_module(module_name), kind_name)
    parser = _settings_parser(command)
    parser.add_argument("--recipe", help="name of a recipe, or a YAML file with one section a stage")
    fields = {field.name for field in dataclasses.fields(kind)}
    many = fields & {"scenes"}
    for name in many:
        parser.add_argument(f"--{name}", nargs="+", type=Path, required=True, help="files or folders")
    parser.add_class_arguments(kind, skip=many)
    arguments = _spelt(arguments, kind)
    if recipe := _option(arguments, "--recipe"):
        section = load_recipe(recipe).get(command, {})
        check_settings(kind, section)
        parser.set_defaults(_flat(section, kind))
    settings = _parsed(parser, command, arguments)
    config = kind(**{name: value for name, value in vars(settings).items() if name in fields})
    from knowlip.pipeline import run_stage

    result = run_stage(command, config)
    if settings.json:
        return json.dumps(result, indent=1)
    if command == "evaluate":
        from knowlip.benchmark.table import print_table

        print_table(result)
    return _outcome(result)


def _settings_parser(command: str) -> Any:
    """A parser that reads the docstrings of dataclass fields."""
    from jsonargparse import ActionConfigFile, ArgumentParser, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog=f"knowlip {command}", description=SUMMARY[command], exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with this command's settings")
    parser.add_argument("--json", action="store_true", help="print the result as JSON to standard output")
    return parser


def _parsed(parser: Any, command: str, arguments: list[str]) -> Any:
    from jsonargparse import ArgumentError

    from knowlip.base.parsing import setting_error

    try:
        return parser.instantiate(parser.parse_args(arguments))
    except ArgumentError as error:
        raise ValueError(f"{setting_error(error)} `knowlip {command} --help` lists all settings.") from None


def _tool(command: str, arguments: list[str]) -> str | None:
    """Parse the settings of a tool and run it."""
    module_name, kind_name, function_name = TOOLS[command]
    module = import_module(module_name)
    kind = getattr(module, kind_name)
    parser = _settings_parser(command)
    hints, texts = get_type_hints(kind), told(kind)
    positional = getattr(kind, "POSITIONAL", ())
    for name in positional:
        many = get_origin(hints[name]) is list
        of = get_args(hints[name])[0] if many else hints[name]
        parser.add_argument(
            name, type=of, metavar=name.upper(), help=texts.get(name), **({"nargs": "+"} if many else {})
        )
    lists = [name for name, hint in hints.items() if get_origin(hint) is list and name not in positional]
    parser.add_class_arguments(kind, skip={*positional, *lists})
    for name in lists:
        parser.add_argument(f"--{name}", type=get_args(hints[name])[0], nargs="+", default=[], help=texts.get(name))
    settings = _parsed(parser, command, _spelt(arguments, kind))
    config = kind(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(kind)})
    result = getattr(module, function_name)(config)
    if settings.json:
        return json.dumps(result, indent=1)
    show = getattr(module, "show", _outcome)
    text: str = show(result)
    return text


def _spelt(arguments: list[str], kind: Any) -> list[str]:
    """Arguments with options as the settings are spelt: `--dry-run` is `--dry_run`, and a switch alone is true."""
    spelt: list[str] = []
    for position, argument in enumerate(arguments):
        if not argument.startswith("--"):
            spelt.append(argument)
            continue
        name, equals, value = argument.partition("=")
        name = "--" + _setting(kind, name[2:])
        follows = arguments[position + 1] if position + 1 < len(arguments) else "--"
        alone = not equals and follows.startswith("--") and _is_switch(kind, name[2:])
        spelt += [name + equals + value, "true"] if alone else [name + equals + value]
    return spelt


def _setting(kind: Any, name: str) -> str:
    """A dotted name with underscores; what stands behind a mapping (`scene_size_m.sim-x`) is a key, left as it is."""
    part, dot, rest = name.partition(".")
    part = part.replace("-", "_")
    inner = get_type_hints(kind).get(part) if dataclasses.is_dataclass(kind) else None
    if get_origin(inner) is dict:
        return f"{part}{dot}{rest}"
    return part + dot + (_setting(inner, rest) if dot else "")


def _is_switch(kind: Any, name: str) -> bool:
    """Whether a setting with a dotted name is true or false."""
    for part in name.split("."):
        kind = get_type_hints(kind).get(part) if dataclasses.is_dataclass(kind) else None
    return kind is bool or (get_origin(kind) is UnionType and bool in get_args(kind))


def _outcome(result: dict[str, Any]) -> str:
    """The plain facts of a result on one line."""
    plain = {key: value for key, value in result.items() if isinstance(value, str | int | float)}
    return ", ".join(f"{key} {f'{value:.4g}' if isinstance(value, float) else value}" for key, value in plain.items())


def _option(arguments: list[str], name: str) -> str | None:
    """Value of an option before the parser knows its defaults."""
    for position, argument in enumerate(arguments):
        if argument == name and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith(f"{name}="):
            return argument.split("=", 1)[1]
    return None


def _flat(settings: dict[str, Any], kind: Any, prefix: str = "") -> dict[str, Any]:
    """Settings of the dataclass `kind` with dotted names; what is a mapping itself (`scene_size_m`) stays whole."""
    result: dict[str, Any] = {}
    for name, value in settings.items():
        group = get_type_hints(kind)[name]
        if dataclasses.is_dataclass(group) and isinstance(value, dict):
            result |= _flat(value, group, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result


# ---- the demo and the commands that use a model ---------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, as every other bad input does."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")


def _parser(command: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"knowlip {command}", description=SUMMARY[command])
    parser.add_argument("--json", action="store_true", help="print the result as JSON to standard output")
    return parser


def _model_option(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--model", type=Path, default=Path(os.environ.get("KNOWLIP_MODEL", default)),
        help=f"model folder, or USER/REPO of the Hugging Face hub (default: $KNOWLIP_MODEL, or {default})",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto (default)")


def _demo(arguments: list[str]) -> str | None:
    parser = _parser("demo")
    parser.add_argument("--scenes", nargs="+", type=Path, default=[], help="your own scenes; simulated ones otherwise")
    parser.add_argument("--recipe", help="recipe name or YAML file (default: chosen by the scenes' resolution)")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="output folder (default: demo)")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="STAGE.KEY=VALUE", help="change settings, e.g. pretrain.batch_size=16"
    )
    options = parser.parse_args(arguments)
    from knowlip.pipeline import demo

    metrics = demo(options.out, options.scenes, options.recipe, options.set)
    return json.dumps(metrics, indent=1) if options.json else None


def _caption(arguments: list[str]) -> str:
    parser = _parser("caption")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="8-bit images (PNG, JPEG) or SAR rasters")
    _model_option(parser, "demo/pretrain/model")
    generation_options(parser)
    options = parser.parse_args(arguments)
    from knowlip.inference import captions
    from knowlip.inference.caption import LENGTH

    found = captions(options.model, options.images, generation_of(options, LENGTH), options.device)
    pairs = list(zip(options.images, found))
    if options.json:
        lines = [{"image": str(path), "caption": texts[0][0], **alternatives(texts)} for path, texts in pairs]
        return json.dumps(lines, indent=1)
    return "\n".join(text if len(pairs) == 1 else f"{path}: {text}" for path, texts in pairs for text, _ in texts)


def _ask(arguments: list[str]) -> str:
    parser = _parser("ask")
    parser.add_argument("image", type=Path, metavar="IMAGE", help="8-bit image (PNG, JPEG) or SAR raster")
    parser.add_argument("question")
    _model_option(parser, "demo/finetune/model")
    generation_options(parser)
    options = parser.parse_args(arguments)
    from knowlip.inference import answers
    from knowlip.inference.ask import LENGTH

    found = answers(options.model, options.image, options.question, generation_of(options, LENGTH), options.device)
    if options.json:
        asked = {"image": str(options.image), "question": options.question, "answer": found[0][0]}
        return json.dumps(asked | alternatives(found), indent=1)
    return "\n".join(text for text, _ in found)


def _search(arguments: list[str]) -> str:
    parser = _parser("search")
    parser.add_argument("dataset", type=Path, metavar="DATASET")
    parser.add_argument("text")
    parser.add_argument("--top", type=int, default=10, help="how many tiles (default: 10)")
    parser.add_argument("--out", type=Path, help="also write the footprints as GeoJSON")
    _model_option(parser, "demo/pretrain/model")
    options = parser.parse_args(arguments)
    from knowlip.inference import search

    hits = search(options.model, options.dataset, options.text, options.top, options.out, options.device)
    if options.json:
        return json.dumps({"text": options.text, "hits": hits}, indent=1)
    where = [f"{hit['lat']:.4f}, {hit['lon']:.4f}" if hit["lat"] is not None else "place unknown" for hit in hits]
    return "\n".join(
        f"{rank:3d}  {hit['similarity']:.3f}  {hit['match']:.3f}  {hit['tile_id']}  "
        f"{place}  {hit['city']}" for rank, (hit, place) in enumerate(zip(hits, where), 1)
    )  # fmt: skip


_COMMANDS: dict[str, Callable[[list[str]], str | None]] = {
    "demo": _demo, "caption": _caption, "ask": _ask, "search": _search,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
