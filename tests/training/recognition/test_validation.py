"""What a recogniser is held against: what most photographs have on all of them, the rest on half of them."""

from collections import Counter
from pathlib import Path

from polyrestore.training.recognition.validation import COMMON, SEVERITIES, validation_samples
from tests.training.recognition.test_samples import save


def test_what_most_photographs_have_is_shown_on_all_of_them(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / f"{index}.png", index)
    samples = list(validation_samples(("noise", "rain", "jpeg"), tmp_path, [], {}, {}))
    kinds = Counter(sample.kind for sample in samples)
    assert kinds["clean:validation"] == 4
    assert kinds["damaged:noise"] == 4 * len(COMMON["noise"])
    assert kinds["damaged:jpeg"] == 4 * len(COMMON["jpeg"])
    assert kinds["damaged:rain"] == 4
    severities = {
        round(float(sample.label.severity[1]), 4) for sample in samples if sample.kind == "damaged:rain"
    }
    assert severities == set(SEVERITIES)
