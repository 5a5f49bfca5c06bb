"""Tests of simlib.benchmark.record: what was run into a store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simlib.benchmark.plan_file import plan_to_dict
from simlib.benchmark.recipe import address
from simlib.benchmark.record import load_record, save_record
from simlib.errors import InputError, OutputError
from tests.benchmark.made_results import made_record


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    for record in (made_record(), made_record(shards=(), finished=False)):
        save_record(record, tmp_path / "0123.json")
        assert load_record(tmp_path / "0123.json") == record


def test_a_change_of_any_one_byte_is_found_or_means_nothing(tmp_path: Path) -> None:
    path, record = tmp_path / "0123.json", made_record()
    save_record(record, path)
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 3):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert load_record(path) == record
        except InputError as error:
            refused += 1
            assert "is damaged" in str(error)
    # The rest are line breaks and indentation.
    assert refused > len(content) / 6


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"\xff", b'{"checksum": 1}'])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "0123.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"0123\.json is damaged.*Remove it and run its plan again"):
        load_record(path)


def test_a_plan_of_others_is_read_though_it_cannot_be_made_here(tmp_path: Path) -> None:
    record = made_record()
    save_record(record, tmp_path / "0123.json")
    content = json.loads((tmp_path / "0123.json").read_text("utf-8"))
    del content["checksum"]
    content["plan"]["white_box"] = {
        "metrics": ["committee:l2+ssim", "mine"],
        "attacks": [
            {"title": "A", "attack": "theirs", "protocol": "paper", "target": "closer", "strength": 3}
        ],
    }
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps({"checksum": "", **content}))
    with pytest.raises(InputError, match="does not fit its checksum"):
        load_record(path)
    path.write_text(json.dumps({"checksum": address(content), **content}))
    plan = load_record(path).plan
    assert plan.metrics() == ["committee:l2+ssim", "mine", "l2", "ssim"]
    assert plan.white_box and plan.white_box.attacks[0].dials == {"strength": 3}
    assert plan_to_dict(plan) == content["plan"]


def test_absent_unreadable_unwritable(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_record(tmp_path / "absent.json")
    with pytest.raises(InputError, match="cannot be read"):
        load_record(tmp_path)
    with pytest.raises(OutputError, match="Cannot write"):
        save_record(made_record(), tmp_path / "absent" / "0123.json")
