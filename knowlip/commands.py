"""The table of commands: what each does, its settings and its function, as names, so that nothing heavy is loaded.

A new command is one entry here: a frozen dataclass of settings whose fields carry docstrings (they are the help), and a
function that takes it and returns plain facts. A function `show(result)` in the function's module makes the text for
people; without one the facts are printed on one line. Settings named in the dataclass's `POSITIONAL` need no flag.
"""

from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from knowlip.base.bootstrap import end_unguarded


class Command(NamedTuple):
    """One command, as names."""

    settings: str
    """`module:dataclass`."""
    function: str
    """`module:function`, or the function alone where it stands beside the settings."""
    summary: str
    left_out: tuple[str, ...] = ()
    """Where its result lists what it was given and could not use (:mod:`knowlip.base.left_out`): then its exit code is
    1. What a setting leaves out is not meant."""

    def kind(self) -> Any:
        """The dataclass of its settings."""
        module, _, name = self.settings.partition(":")
        return getattr(import_module(module), name)

    def module(self) -> ModuleType:
        """The module of its function."""
        name = self.function if ":" in self.function else self.settings
        return import_module(name.partition(":")[0])

    def run(self, settings: Any) -> Any:
        """What its function returns for these settings. A process that only reads the script of another is ended."""
        end_unguarded()
        return getattr(self.module(), self.function.rpartition(":")[2])(settings)


_SCENES = {
    "simulate": Command(
        "knowlip.simulator:SimulateConfig", "simulate", "make simulated SAR scenes of three sensors with exact truth"
    ),
    "scene info": Command(
        "knowlip.scenes.info:SceneInfoConfig",
        "scene_info",
        "print what is understood of SAR products: sensor, geometry, radiometry, place",
        left_out=("refused",),
    ),
    "cities": Command(
        "knowlip.tiles.cities:CitiesConfig", "cities", "pick cities for a data set and draw what they cover"
    ),
    "build": Command(
        "knowlip.tiles.build:BuildConfig",
        "build",
        "cut SAR scenes into a georeferenced data set of tiles at three scales",
        left_out=("skipped",),
    ),
}
_DATASET = {
    "dataset verify": Command(
        "knowlip.dataset.verify:VerifyConfig",
        "verify_dataset",
        "check counts, hashes, schema, splits and duplicates of a data set",
    ),
    "dataset audit": Command(
        "knowlip.benchmark.settings:DatasetAuditConfig",
        "knowlip.benchmark.audit:dataset_audit",
        "find copies, leaks and contradicting labels, and what one reaches without a model",
    ),
    "dataset stats": Command(
        "knowlip.dataset.stats:DatasetStatsConfig", "dataset_stats", "measure and draw what a data set holds"
    ),
    "dataset export": Command(
        "knowlip.dataset.export:DatasetExportConfig",
        "export_dataset",
        "write a data set as COCO, YOLO, DOTA, open_clip CSV, LLaVA or image folders",
    ),
    "dataset import": Command(
        "knowlip.tiles.imports:ImportConfig",
        "import_dataset",
        "bring a labelled public set into a data set with annotations",
        left_out=("import.bad.count", "import.missing_images.count"),
    ),
    "dataset sets": Command(
        "knowlip.tiles.imports.public:SetsConfig",
        "list_sets",
        "list the public sets that `dataset import` knows by name, or tell about one",
    ),
    "dataset overlay": Command(
        "knowlip.tiles.overlay:OverlayConfig",
        "overlay",
        "lay land cover and objects of your own maps on the tiles of a data set, as masks and boxes",
    ),
    "dataset label": Command(
        "knowlip.tiles.label:LabelConfig",
        "label_tiles",
        "mark good and bad tiles in the browser, for the quality filter",
    ),
    "dataset publish": Command(
        "knowlip.dataset.texts:PublishConfig",
        "publish_dataset",
        "write the texts of a revision into the shards of a data set",
    ),
}
_TEXTS = {
    "annotate": Command(
        "knowlip.annotators.annotate:AnnotateConfig",
        "annotate",
        "write the eight sub-texts of every tile, offline or with a language model",
        left_out=("quarantined",),
    ),
    "prompt": Command(
        "knowlip.annotators.openai.show:PromptConfig",
        "show_prompt",
        "print exactly what would be sent to a language model for one tile",
    ),
    "text stats": Command(
        "knowlip.annotators.stats:TextStatsConfig",
        "text_stats",
        "measure and draw what the texts of a data set are like, beside other captions",
    ),
    "text check": Command(
        "knowlip.annotators.check.report:CheckConfig",
        "text_check",
        "find contradictions, impossible sizes and bad wording in the texts of a data set",
    ),
    "text paraphrase": Command(
        "knowlip.annotators.paraphrase:ParaphraseConfig",
        "text_paraphrase",
        "let a language model reword the texts, and keep what says the same",
    ),
    "text audit": Command(
        "knowlip.annotators.audit:AuditConfig",
        "text_audit",
        "let experts judge a sample of the texts in the browser, and report what they found",
    ),
    "questions make": Command(
        "knowlip.tasks.items.settings:MakeConfig",
        "knowlip.tasks.items.make:make",
        "write captions and six types of questions about tiles from boxes, masks and truth",
    ),
    "questions import": Command(
        "knowlip.tasks.items.settings:ImportItemsConfig",
        "knowlip.tasks.items.foreign:import_items",
        "bring captions and questions of your own, SARLANG-1M's or COCO captions to the tiles of a data set",
        left_out=("left_out",),
    ),
    "scio screen": Command(
        "knowlip.scio.config:PassConfig",
        "knowlip.scio.commands:scio_screen",
        "find wrong sub-texts in a data set with a trained model",
    ),
    "scio reconstruct": Command(
        "knowlip.scio.config:PassConfig",
        "knowlip.scio.commands:scio_reconstruct",
        "write anew what screening called noise",
    ),
    "scio show": Command(
        "knowlip.scio.show:ShowConfig",
        "show_history",
        "show what screening and reconstruction did to the texts of a tile",
    ),
    "scio report": Command(
        "knowlip.scio.report:ScioReportConfig",
        "scio_report",
        "count and draw what screening and reconstruction decided",
    ),
}
_TRAINING = {
    "pretrain": Command(
        "knowlip.tasks.settings:PretrainConfig",
        "knowlip.tasks.pretrain:pretrain",
        "train a model on a data set in the three SCIO stages",
    ),
    "selfsup": Command(
        "knowlip.tasks.selfsup.settings:SelfSupConfig",
        "knowlip.tasks.selfsup.run:selfsup",
        "pre-train an image tower on a data set without labels: MAE, MoCo v3, SAR-JEPA, DINO with iBOT",
    ),
    "finetune": Command(
        "knowlip.tasks.settings:FinetuneConfig",
        "knowlip.tasks.vqa:finetune",
        "teach a pre-trained model to answer questions about tiles",
    ),
    "classify": Command(
        "knowlip.tasks.classify_settings:ClassifyConfig",
        "knowlip.tasks.classify:classify",
        "train a linear probe on any encoder, or all of it, to classify tiles, and measure it beside its floors",
    ),
    "detect": Command(
        "knowlip.tasks.detect_settings:DetectConfig",
        "knowlip.tasks.detect:detect",
        "train a detector on any vision transformer, and measure it by COCO's protocol beside CFAR",
    ),
    "segment": Command(
        "knowlip.tasks.segment_settings:SegmentConfig",
        "knowlip.tasks.segment:segment",
        "train a mask transformer on any encoder to give every pixel a class, and measure it beside its floors",
    ),
    "predict detect": Command(
        "knowlip.inference.scene_settings:PredictDetectConfig",
        "knowlip.inference.predict_detect:predict_detect",
        "find objects in whole scenes with a trained detector: GeoJSON, GeoPackage, table",
        left_out=("failed",),
    ),
    "predict segment": Command(
        "knowlip.inference.scene_settings:PredictSegmentConfig",
        "knowlip.inference.predict_segment:predict_segment",
        "give every pixel of whole scenes a class with a trained segmenter: GeoTIFF",
        left_out=("failed",),
    ),
    "predict classify": Command(
        "knowlip.inference.scene_settings:PredictClassifyConfig",
        "knowlip.inference.predict_classify:predict_classify",
        "give every window of whole scenes a class with a trained classifier: GeoParquet, GeoJSON",
        left_out=("failed",),
    ),
    "predict caption": Command(
        "knowlip.inference.scene_settings:PredictCaptionConfig",
        "knowlip.inference.predict_words:predict_caption",
        "describe every window of whole scenes: GeoParquet, GeoJSON",
        left_out=("failed",),
    ),
    "predict ask": Command(
        "knowlip.inference.scene_settings:PredictAskConfig",
        "knowlip.inference.predict_words:predict_ask",
        "ask about every window of whole scenes: GeoParquet, GeoJSON",
        left_out=("failed",),
    ),
    "predict embed": Command(
        "knowlip.inference.scene_settings:PredictEmbedConfig",
        "knowlip.inference.predict_words:predict_embed",
        "embed every window of whole scenes: GeoParquet",
        left_out=("failed",),
    ),
    "bench run": Command(
        "knowlip.benchmark.settings:BenchRunConfig",
        "knowlip.benchmark.run:bench_run",
        "train and measure a task on a data set with any encoder: folds, seeds, rows, pictures",
    ),
    "bench suite": Command(
        "knowlip.benchmark.settings:SuiteConfig",
        "knowlip.benchmark.suite:suite",
        "train and measure models x tasks x data sets x seeds of one recipe, and collect their rows",
        left_out=("failed",),
    ),
    "bench leaderboard": Command(
        "knowlip.benchmark.settings:LeaderboardConfig",
        "knowlip.benchmark.leaderboard:leaderboard",
        "print the paper's tables with all that was measured, floors, intervals and which differences are any",
    ),
    "bench llm": Command(
        "knowlip.benchmark.llm.settings:BenchLlmConfig",
        "knowlip.benchmark.llm.run:bench_llm",
        "ask a general language model, with the image or blind, what evaluate asks of ours",
    ),
    "evaluate": Command(
        "knowlip.benchmark.settings:EvaluateConfig",
        "knowlip.benchmark.evaluate:evaluate",
        "measure a model on places that training never saw",
    ),
    "ablation": Command(
        "knowlip.benchmark.ablation_settings:AblationConfig",
        "knowlip.benchmark.ablation:ablation",
        "train and question models on template, annotated, screened and rewritten texts",
    ),
    "report": Command(
        "knowlip.benchmark.settings:ReportConfig", "knowlip.benchmark.report:report", "write one HTML file about a run"
    ),
}
_USE = {
    "caption": Command(
        "knowlip.inference.settings:CaptionConfig",
        "knowlip.inference.caption:caption",
        "describe SAR images",
        left_out=("reason",),
    ),
    "ask": Command(
        "knowlip.inference.settings:AskConfig",
        "knowlip.inference.ask_many:ask_all",
        "answer a question about a SAR image, or a file of them",
        left_out=("failed",),
    ),
    "index": Command(
        "knowlip.inference.archive.settings:IndexConfig",
        "knowlip.inference.archive.adding:index",
        "scenes and data sets into an archive that `search` asks, and out of it",
        left_out=("failed",),
    ),
    "search": Command(
        "knowlip.inference.settings:SearchConfig",
        "knowlip.inference.search:search",
        "find the tiles of a data set that fit a text",
    ),
    "serve": Command(
        "knowlip.inference.settings:ServeConfig",
        "knowlip.inference.serving:serve_model",
        "serve an archive with an API and a page, or a model to clients of OpenAI's chat completions",
    ),
    "convert": Command(
        "knowlip.models.settings:ConvertConfig",
        "knowlip.models.weights.convert:convert",
        "make a model folder from a BLIP, BERT or ViT checkpoint of another project",
    ),
    "weights inspect": Command(
        "knowlip.models.settings:InspectConfig",
        "knowlip.models.inspect:inspect_weights",
        "say what a checkpoint of another project is, what would be loaded or dropped, and how pixels are normalised",
    ),
    "export": Command(
        "knowlip.inference.export.settings:ExportConfig",
        "knowlip.inference.export.command:export_model",
        "write a model, detector or segmenter as ONNX files, checked against PyTorch, and what int8 costs",
    ),
    "publish-model": Command(
        "knowlip.models.settings:PublishModelConfig",
        "knowlip.models.publish:publish_model",
        "put a model on the Hugging Face hub",
    ),
}
GROUPS = {
    "everything": {
        "demo": Command(
            "knowlip.pipeline:DemoConfig",
            "demo",
            "run everything: scenes to tiles, texts, a trained model, its measured results and a report",
            left_out=("setup.left_out",),
        ),
    },
    "scenes": _SCENES,
    "data sets": _DATASET,
    "texts": _TEXTS,
    "training and measuring": _TRAINING,
    "models in use": _USE,
    "the shell": {
        "completion": Command(
            "knowlip.completion:CompletionConfig",
            "completion",
            "print what bash or zsh need to complete commands, flags and values",
        ),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}
