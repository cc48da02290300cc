"""The model in Hugging Face's transformers: Auto classes with remote code off, and the same numbers as ours."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import knowlip
from knowlip.base.generation import GenerationConfig
from knowlip.inference.calibration import read_calibration
from knowlip.inference.export.command import export_model
from knowlip.inference.export.settings import ExportConfig
from knowlip.models import KnowLIP, load_model
from knowlip.models.default import shipped_model
from knowlip.models.transformers_files import FILES
from tests.documented import python_blocks
from tests.inference.tiny_model import SENTENCES, tiny_model

transformers = pytest.importorskip("transformers", minversion="5.20")

import knowlip.models.transformers as wrapped  # noqa: E402 (it needs the package above)

IMAGES = [np.random.default_rng(at).integers(0, 256, (40, 50), dtype=np.uint8) for at in range(3)]
QUESTIONS = ["How many ships are visible?", "", "Count: [MASK] ships are visible."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as `knowlip export --format transformers` writes it."""
    here = tmp_path_factory.mktemp("transformers")
    card = {"command": "knowlip pretrain --out /home/me", "sensors": ["sim-x"]}
    found = export_model(ExportConfig(tiny_model(here / "model", card=card), here / "out", "transformers"))
    assert found["format"] == "transformers"
    return here / "out"


@pytest.fixture(scope="module")
def ours(folder: Path) -> KnowLIP:
    return load_model(folder)


def test_auto_classes_give_our_numbers(folder: Path, ours: KnowLIP) -> None:
    model, processor = (
        transformers.AutoModel.from_pretrained(folder),
        transformers.AutoProcessor.from_pretrained(folder),
    )
    assert isinstance(model, wrapped.KnowLIPModel)
    assert not model.training
    given = processor(images=IMAGES, text=SENTENCES)
    with torch.no_grad():
        found = model(**given)
        matched = model.match(**given).softmax(-1)[:, 1]
    images, texts = ours.embed_images(IMAGES), ours.embed_texts(SENTENCES)
    tokens, _ = ours.encode_images(ours.prepare(IMAGES))
    for theirs, wanted in (
        (found.image_embeds, images),
        (found.text_embeds, texts),
        (found.logits_per_image, images @ texts.T / ours.temp.detach()),
        (matched, ours.match(tokens, SENTENCES)),
        (model.get_text_features(**processor(text=SENTENCES)).detach(), texts),
    ):
        torch.testing.assert_close(theirs, wanted, atol=1e-6, rtol=0)
    assert torch.equal(found.logits_per_text, found.logits_per_image.T)


@pytest.mark.parametrize(("named", "config"), [
    ({}, GenerationConfig(8)),
    ({"num_beams": 3, "length_penalty": 0.5}, GenerationConfig(8, beams=3, length_penalty=0.5)),
    ({"do_sample": True, "top_k": 5, "seed": 3}, GenerationConfig(8, temperature=1.0, top_k=5, seed=3)),
])  # fmt: off
def test_it_writes_what_ours_writes(folder: Path, ours: KnowLIP, named: dict, config: GenerationConfig) -> None:
    model, processor = (
        transformers.AutoModel.from_pretrained(folder),
        transformers.AutoProcessor.from_pretrained(folder),
    )
    tokens, _ = ours.encode_images(ours.prepare(IMAGES))
    ids = model.generate(**processor(images=IMAGES, text=QUESTIONS), max_new_tokens=8, **named)
    assert processor.batch_decode(ids, skip_special_tokens=True) == ours.generate(tokens, QUESTIONS, config)
    captions = model.generate(**processor(images=IMAGES), max_new_tokens=8, **named)
    assert processor.batch_decode(captions, skip_special_tokens=True) == ours.generate(tokens, [""] * 3, config)


def test_sizes_on_the_ground_reach_models_that_are_told_them(tmp_path: Path) -> None:
    model = knowlip.load()
    twin, processor = wrapped.KnowLIPModel.of(model), wrapped.KnowLIPProcessor.of(model)
    metres = [0.5, 3.0, float("nan")]
    given = processor(images=IMAGES, metres_per_pixel=metres)
    found = twin.get_image_features(**given).detach()
    torch.testing.assert_close(found, model.embed_images(IMAGES, metres), atol=1e-6, rtol=0)
    assert not torch.allclose(found[0], model.embed_images(IMAGES[:1])[0], atol=1e-3)


def test_pipelines_of_transformers_take_it(folder: Path, ours: KnowLIP) -> None:
    image = Image.fromarray(IMAGES[0])
    classify = transformers.pipeline("zero-shot-image-classification", model=str(folder))
    said = classify(image, candidate_labels=SENTENCES, hypothesis_template="{}")
    logits = ours.embed_images(IMAGES[:1]) @ ours.embed_texts(SENTENCES).T / ours.temp.detach()
    wanted = dict(zip(SENTENCES, logits.softmax(-1)[0].tolist()))
    assert {one["label"]: pytest.approx(one["score"], abs=1e-6) for one in said} == wanted
    write = transformers.pipeline("image-text-to-text", model=str(folder))
    tokens, _ = ours.encode_images(ours.prepare(IMAGES[:1]))
    for question in QUESTIONS[:2]:
        (found,) = write(images=image, text=question, max_new_tokens=8, return_full_text=False)
        assert [found["generated_text"]] == ours.generate(tokens, [question], 8)


def test_trained_and_saved_by_transformers_and_back(folder: Path, ours: KnowLIP, tmp_path: Path) -> None:
    model, processor = (
        transformers.AutoModel.from_pretrained(folder),
        transformers.AutoProcessor.from_pretrained(folder),
    )
    given = processor(images=IMAGES, text=SENTENCES)
    loss = model(**given, return_loss=True).loss
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
        assert model(**given, return_loss=True).loss < loss
    model.save_pretrained(tmp_path / "theirs")
    processor.save_pretrained(tmp_path / "theirs")
    again = transformers.AutoModel.from_pretrained(tmp_path / "theirs")
    loaded = transformers.AutoProcessor.from_pretrained(tmp_path / "theirs")
    with torch.no_grad():
        found = again(**loaded(images=IMAGES, text=SENTENCES)).logits_per_image
    back = load_model(again.plain(loaded.tokenizer.plain).save_pretrained(tmp_path / "ours"))
    for one, images, texts in ((back, back.embed_images(IMAGES), back.embed_texts(SENTENCES)),):
        torch.testing.assert_close(found, images @ texts.T / one.temp.detach(), atol=1e-6, rtol=0)
    assert not torch.allclose(back.embed_images(IMAGES), ours.embed_images(IMAGES), atol=1e-4)


def test_the_folder_is_ours_as_well_and_names_no_folder_of_this_machine(folder: Path, ours: KnowLIP) -> None:
    assert ours.card["sensors"] == ["sim-x"]
    assert "command" not in ours.card
    assert {*FILES} < {file.name for file in folder.iterdir()}


def test_the_page_s_code_runs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "FOLDER").symlink_to(folder)
    Image.fromarray(IMAGES[0]).save(tmp_path / "tile.png")
    monkeypatch.chdir(tmp_path)
    blocks = [block for page, block in python_blocks() if page == "interoperability" and "transformers" in block]
    assert len(blocks) == 1
    for block in blocks:
        exec(compile(block, "interoperability", "exec"), {})


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(folder: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def spoil(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_configs_hold_known_keys_within_ranges(broken: Path) -> None:
    towers = json.loads((broken / "config.json").read_text())["towers"]
    vision = {**towers["vision"], "changes": {"checkpoint_path": "/etc/passwd"}}
    for changes, sentence in (
        ({"auto_map": {"AutoModel": "evil.Model"}}, "unknown setting auto_map"),
        ({"towers": {**towers, "vision": vision}}, "cannot hold 'checkpoint_path'"),
        ({"towers": {**towers, "embed_dim": 10**9}}, "embed_dim must be"),
        ({"special_ids": {"pad": 0}}, "special_ids must be"),
        ({"special_ids": dict.fromkeys(("pad", "unk", "cls", "sep", "mask", "dec", "enc"), 0)}, "different ids"),
    ):
        before = (broken / "config.json").read_text()
        spoil(broken / "config.json", **changes)
        with pytest.raises(ValueError, match=sentence):
            transformers.AutoModel.from_pretrained(broken)
        (broken / "config.json").write_text(before)


def test_weights_are_safetensors_that_fit(broken: Path) -> None:
    weights = load_file(broken / "model.safetensors")
    save_file({**weights, "temp": torch.tensor(float("nan"))}, broken / "model.safetensors")
    with pytest.raises(ValueError, match="temp holds numbers that are not finite"):
        transformers.AutoModel.from_pretrained(broken)
    save_file({**weights, "temp": torch.zeros(10**6)}, broken / "model.safetensors")
    with pytest.raises(ValueError, match=r"temp has shape \(1000000,\)"):
        transformers.AutoModel.from_pretrained(broken)
    (broken / "model.safetensors").unlink()
    torch.save(weights, broken / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"has no model\.safetensors"):
        transformers.AutoModel.from_pretrained(broken)


def test_the_tokenizer_is_bert_s(broken: Path) -> None:
    spoil(broken / "tokenizer.json", pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a+)+$"},
                                                    "behavior": "Isolated", "invert": False})  # fmt: off
    with pytest.raises(ValueError, match="not BERT's"):
        transformers.AutoProcessor.from_pretrained(broken)
    spoil(broken / "tokenizer_config.json", model_max_length=10**9)
    with pytest.raises(ValueError, match="model_max_length must be"):
        wrapped.KnowLIPTokenizer.from_pretrained(broken)
    spoil(broken / "processor_config.json", image_processor={"image_size": 10**9})
    with pytest.raises(ValueError, match="image_size must be"):
        transformers.AutoProcessor.from_pretrained(broken)


def test_a_processor_of_another_model_is_refused(broken: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    image = json.loads((broken / "processor_config.json").read_text())["image_processor"]
    for changes, sentence in (
        ({"image_mean": 0.5}, r"has image_mean 0\.5, and the model beside it was trained with 0\.45"),
        ({"image_std": 0.5}, r"has image_std 0\.5, and the model beside it was trained with 0\.25"),
        ({"image_size": 64}, "has image_size 64, and the model beside it was trained with 32"),
    ):
        spoil(broken / "processor_config.json", image_processor={**image, **changes})
        for opened in (transformers.AutoProcessor, transformers.AutoImageProcessor):
            with pytest.raises(ValueError, match=sentence):
                opened.from_pretrained(broken)
    spoil(broken / "processor_config.json", image_processor=image)
    spoil(broken / "tokenizer_config.json", model_max_length=48)
    with pytest.raises(ValueError, match="model_max_length of 48, and the model beside it reads 24"):
        transformers.AutoProcessor.from_pretrained(broken)
    spoil(broken / "tokenizer_config.json", model_max_length=24)
    before = (broken / "tokenizer.json").read_text()
    said = json.loads(before)
    words = said["model"]["vocab"]
    one, two = sorted(words, key=words.get)[-2:]
    words[one], words[two] = words[two], words[one]
    (broken / "tokenizer.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match=r"has other words than knowlip\.json beside it"):
        transformers.AutoTokenizer.from_pretrained(broken)
    (broken / "tokenizer.json").write_text(before)
    config = (broken / "config.json").read_text()
    towers = json.loads(config)["towers"]
    size = towers["text"]["vocab_size"]
    more = {**towers, "text": {**towers["text"], "vocab_size": size + 1}}
    spoil(broken / "config.json", towers=more)
    with pytest.raises(ValueError, match=rf"has {size} words, and the model beside it {size + 1}: take"):
        transformers.AutoProcessor.from_pretrained(broken)
    (broken / "config.json").write_text(config)
    transformers.AutoProcessor.from_pretrained(broken).save_pretrained(alone := tmp_path_factory.mktemp("alone"))
    spoil(alone / "processor_config.json", image_processor={**image, "image_size": 64})
    other = transformers.AutoProcessor.from_pretrained(alone, config=None)  # no model is beside it
    model = wrapped.KnowLIPModel.from_pretrained(broken)
    with pytest.raises(ValueError, match=r"shape \(3, 1, 64, 64\), and this model reads \(B, 1, 32, 32\)"):
        model.generate(**other(images=IMAGES))
    with pytest.raises(ValueError, match=r"none of the .* words of this model"):
        model.get_text_features(torch.tensor([[2, 10**6, 3]]))
    with pytest.raises(ValueError, match="have 25 tokens, and this model reads 24"):
        model.get_text_features(torch.full((1, 25), 5))


def test_half_precision_computes_or_is_refused_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    processor = transformers.AutoProcessor.from_pretrained(folder)
    wanted = transformers.AutoModel.from_pretrained(folder)(**processor(images=IMAGES, text=SENTENCES)).image_embeds
    for dtype in ("float16", "bfloat16", "float64"):
        model = transformers.AutoModel.from_pretrained(folder, dtype=dtype)
        with torch.no_grad():
            found = model(**processor(images=IMAGES, text=SENTENCES))
        torch.testing.assert_close(found.image_embeds.float(), wanted.detach(), atol=0.03, rtol=0)
        assert model.generate(**processor(images=IMAGES), max_new_tokens=4).shape[0] == 3
    told = knowlip.load()  # it has a readout
    wrapped.KnowLIPModel.of(told).save_pretrained(tmp_path)
    for dtype in ("float16", "bfloat16", "float64"):
        with pytest.raises(ValueError, match=f"computes in float32, and its weights are {dtype}: load it without"):
            transformers.AutoModel.from_pretrained(tmp_path, dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16):
        assert told.embed_images(IMAGES).isfinite().all()
    with pytest.raises(ValueError, match="computes in float32, and its weights are float16"):
        told.half().embed_images(IMAGES)


def test_remote_code_and_unknown_settings_are_refused(folder: Path) -> None:
    for settings, sentence in (
        ({"trust_remote_code": True}, "runs no code"),
        ({"use_safetensors": False}, "safetensors alone"),
        ({"load_in_8bit": True}, "no setting load_in_8bit"),
        ({"dtype": "nn"}, "dtype must be one of float32"),
    ):
        with pytest.raises(ValueError, match=sentence):
            wrapped.KnowLIPModel.from_pretrained(folder, **settings)


def test_images_and_texts_that_cannot_be_are_refused(folder: Path) -> None:
    model, processor = wrapped.KnowLIPModel.from_pretrained(folder), wrapped.KnowLIPProcessor.from_pretrained(folder)
    coloured = np.dstack([IMAGES[0], IMAGES[0], 255 - IMAGES[0]])
    for image, sentence in (
        (coloured, "coloured"),
        (IMAGES[0].astype(float), "must be uint8"),
        (Image.fromarray(IMAGES[0].astype(np.uint16)), "mode I;16"),
        ([], "no image"),
    ):
        with pytest.raises(ValueError, match=sentence):
            processor(images=image)
    one = processor(images=IMAGES[0])
    with pytest.raises(ValueError, match="3 texts"):
        model.generate(**one, **processor(text=SENTENCES))
    with pytest.raises(ValueError, match=r"belongs to do_sample=True"):
        model.generate(**one, temperature=0.5)
    with pytest.raises(ValueError, match="no setting stop_strings"):
        model.generate(**one, stop_strings=["."])
    with pytest.raises(ValueError, match=r"begin with \[CLS\]"):
        model.match(torch.tensor([[9, 3]]), **one)
    assert processor(text="ship " * 100)["input_ids"].shape[1] == 24


def test_a_copy_is_calibrated_as_the_model_is_and_sizes_that_cannot_be_are_refused(tmp_path: Path) -> None:
    export_model(ExportConfig(shipped_model(), tmp_path / "out", "transformers"))
    copy, note = read_calibration(tmp_path / "out")
    assert copy is not None
    assert not note
    processor = transformers.AutoProcessor.from_pretrained(tmp_path / "out")
    for metres in (0.0, -3.0, float("inf")):
        with pytest.raises(ValueError, match="above 0"):
            processor(images=IMAGES, metres_per_pixel=metres)
