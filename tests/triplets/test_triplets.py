"""Tests of simlib.triplets.triplets."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from simlib.errors import InputError
from simlib.triplets import Triplets, example_triplet
from tests.support import shared_data


def fields(n: int = 4, prefix: str = "t", **changes: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(n)
    images = {part: torch.rand(n, 3, 5, 6, generator=generator) for part in ("ref", "p0", "p1")}
    return {
        **images,
        "judge": torch.linspace(0, 1, n),
        "names": tuple(f"{prefix}{i}" for i in range(n)),
        "photographs": tuple(f"photograph{i % 2}" for i in range(n)),
        "distortions": tuple((f"a{i}", f"b{i}") for i in range(n)),
        "label_source": "constructed",
        **changes,
    }


def triplets(n: int = 4, prefix: str = "t", **changes: Any) -> Triplets:
    return Triplets(**fields(n, prefix, **changes))


def with_value(tensor: torch.Tensor, place: Any, value: float) -> torch.Tensor:
    changed = tensor.clone()
    changed[place] = value
    return changed


GOOD = fields()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ref": GOOD["ref"][0]}, "ref has shape"),
        ({"p0": GOOD["p0"][:, :1]}, "p0 has shape"),
        ({"p1": GOOD["p1"][..., :5]}, "ref and p1 differ in shape"),
        ({"p0": GOOD["p0"][:3]}, "ref and p0 differ in shape"),
        ({"p0": (255 * GOOD["p0"]).byte()}, "p0 has dtype"),
        ({"p1": GOOD["p1"].double()}, "ref and p1 differ in dtype"),
        ({"p1": with_value(GOOD["p1"], (2, 0, 0, 0), float("nan"))}, "p1: sample 2 .*NaN"),
        ({"p0": with_value(GOOD["p0"], (1, 0, 0, 0), 1.25)}, "p0: sample 1 .*1.25.*0.25 too far"),
        ({"judge": [0.0, 1.0, 1.0, 0.0]}, r"judge is a list. Give a float tensor of shape \(4,\)"),
        ({"judge": GOOD["judge"][:3]}, r"judge is .* shape \(3,\).*float tensor of shape \(4,\)"),
        (
            {"judge": torch.zeros(4, dtype=torch.int64)},
            "judge is a tensor of torch.int64.* Give a float tensor",
        ),
        ({"judge": GOOD["judge"].to("meta")}, "judge is .* on meta.* Give .* on cpu"),
        ({"judge": with_value(GOOD["judge"], 2, 3.0)}, "judge: sample 2 is 3"),
        ({"judge": with_value(GOOD["judge"], 1, -float("inf"))}, "judge: sample 1"),
        ({"names": ("a", "b", "c")}, "names is a tuple of 3, and ref has 4 samples"),
        ({"names": ["a", "b", "c", "d"]}, "names is a list.* Give a tuple"),
        ({"names": ("a", "b", "c", "b")}, "names: sample 3 is called 'b', as is sample 1"),
        ({"photographs": ("a",) * 5}, "photographs is a tuple of 5"),
        ({"distortions": (("a", "b"),)}, "distortions is a tuple of 1"),
        ({"distortions": (("a", "b"), ("a", "b"), ("a",), ("a", "b"))}, "distortions: sample 2"),
        ({"label_source": "guessed"}, "label_source is 'guessed'"),
    ],
)
def test_every_fault_is_refused_with_its_field_and_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        triplets(**changes)


def assert_rows(part: Triplets, whole: Triplets, rows: list[int]) -> None:
    assert len(part) == len(rows)
    for field in ("ref", "p0", "p1", "judge"):
        assert torch.equal(getattr(part, field), getattr(whole, field)[rows])
    for field in ("names", "photographs", "distortions"):
        assert getattr(part, field) == tuple(getattr(whole, field)[row] for row in rows)
    assert part.label_source == whole.label_source


@settings(deadline=None, max_examples=40)
@given(data=st.data(), n=st.integers(1, 6))
def test_selection_takes_the_same_rows_of_every_field(data: st.DataObject, n: int) -> None:
    whole = triplets(n)
    rows = data.draw(st.lists(st.integers(-n, n - 1), unique_by=lambda row: row % n))
    expected = [row % n for row in rows]
    for index in (rows, tuple(rows), torch.tensor(rows, dtype=torch.long), np.array(rows, dtype=np.int64)):
        assert_rows(whole[index], whole, expected)
    chosen = data.draw(st.slices(n))
    assert_rows(whole[chosen], whole, list(range(n))[chosen])
    mask = torch.zeros(n, dtype=torch.bool)
    mask[expected] = True
    for index in (mask, mask.numpy(), mask.tolist()):
        assert_rows(whole[index], whole, sorted(expected))


def test_a_position_gives_a_set_of_one_and_iteration_gives_them_all() -> None:
    whole = triplets()
    assert_rows(whole[-1], whole, [3])
    assert [each.names for each in whole] == [("t0",), ("t1",), ("t2",), ("t3",)]


NO_INDEX = [
    4,
    -5,
    [0, 9],
    [0.5],
    "first",
    None,
    True,
    torch.ones(3, dtype=torch.bool),
    [[0], [1]],
    [[0], [1, 2]],
]


@pytest.mark.parametrize("index", NO_INDEX, ids=str)
def test_selections_that_make_no_set_are_refused(index: Any) -> None:
    with pytest.raises(InputError, match=r"The set has 4\. Give positions from 0 to 3, a slice, or a mask"):
        triplets()[index]


def test_a_triplet_is_not_selected_twice() -> None:
    with pytest.raises(InputError, match="sample 1 is called 't1', as is sample 0"):
        triplets()[[1, 1]]


def test_conversion_keeps_the_labels_precision() -> None:
    converted = triplets().to(dtype=torch.float64)
    assert converted.ref.dtype == converted.p0.dtype == converted.p1.dtype == torch.float64
    assert converted.judge.dtype == torch.float32
    assert_rows(converted.to("cpu", torch.float32), triplets(), [0, 1, 2, 3])
    assert_rows(converted.to(torch.device("cpu"), torch.float32), triplets(), [0, 1, 2, 3])


@pytest.mark.parametrize("device", ["foo", "meta", torch.device("meta"), "cuda:99", torch.float64], ids=str)
def test_a_device_that_computes_nothing_is_refused_in_a_line(device: Any) -> None:
    with pytest.raises(InputError, match=f"^There is no device '{device}' here") as caught:
        triplets().to(device)
    assert "\n" not in str(caught.value)


def test_the_dtype_of_a_conversion_is_one_of_torch() -> None:
    with pytest.raises(InputError, match=r"^dtype is 'float64'\. Give a torch\.dtype"):
        triplets().to(dtype=cast(Any, "float64"))


def test_concatenation_undoes_cutting() -> None:
    whole = triplets(judge=torch.linspace(0, 1, 4, dtype=torch.float64))
    assert_rows(Triplets.concatenate([whole[:1], whole[1:1], whole[1:]]), whole, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([], "at least one"),
        ([triplets(), triplets()], "is called 't0'"),
        ([triplets(), triplets(prefix="u").to(dtype=torch.float64)], "dtype"),
        ([triplets(), triplets(prefix="u", label_source="human")], "human labels"),
    ],
)
def test_sets_that_do_not_go_together_are_refused(sets: list[Triplets], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Triplets.concatenate(sets)


def test_the_description_is_a_line_without_pixels() -> None:
    nobody = triplets(judge=torch.full((4,), float("nan")))
    assert repr(nobody) == "Triplets(4 of 5x6, no labels, torch.float32, cpu)"
    assert "constructed labels" in repr(triplets())


def test_the_example_triplet_of_lpips() -> None:
    data = shared_data()
    if data is None:
        pytest.skip("the LPIPS example triplet lies neither beside SIMLIB_WEIGHTS nor beside the repository")
    example = example_triplet(data / "examples")
    assert example.ref.shape == (1, 3, 64, 64)
    assert example.judge.isnan().all()
    for part in ("ref", "p0", "p1"):
        with Image.open(data / "examples" / f"ex_{part}.png") as image:
            levels = np.asarray(image.convert("RGB"))
        assert np.array_equal(getattr(example, part)[0].permute(1, 2, 0).mul(255).round().numpy(), levels)
    with pytest.raises(InputError, match=r"no image file .*absent/ex_ref\.png"):
        example_triplet(data / "absent")


def test_three_tensors_are_enough() -> None:
    images = {part: GOOD[part] for part in ("ref", "p0", "p1")}
    made = Triplets(**images)
    assert made.judge.isnan().all() and made.judge.dtype == torch.float32
    assert len(set(made.names)) == len(set(made.photographs)) == 4
    assert made.distortions == (("unknown", "unknown"),) * 4
    assert Triplets(**images, judge=GOOD["judge"]).label_source == "human"


def test_made_names_are_those_of_the_images_wherever_they_stand() -> None:
    ref, p0, p1 = (GOOD[part] for part in ("ref", "p0", "p1"))
    made = Triplets(ref, p0, p1)
    backwards = Triplets(ref.flip(0), p0.flip(0), p1.flip(0))
    assert backwards.names == made.names[::-1]
    assert Triplets(ref.double(), p0.double(), p1.double()).names == made.names
    assert not set(Triplets(ref, p1, p0).names) & set(made.names)
    assert Triplets(ref, p1, p0).photographs == made.photographs
    first = torch.zeros(3, dtype=torch.long)
    twice = Triplets(ref[first], p0[first], p1[first])
    assert twice.names == (made.names[0], f"{made.names[0]}-2", f"{made.names[0]}-3")
    assert len(set(twice.photographs)) == 1


def test_images_and_labels_are_kept_without_a_graph() -> None:
    ref, p0, p1, judge = (GOOD[part].clone().requires_grad_() for part in ("ref", "p0", "p1", "judge"))
    made = Triplets(ref * 0.5, p0, p1, judge)
    assert not any(each.requires_grad for each in (made.ref, made.p0, made.p1, made.judge))
    with torch.inference_mode():
        made = Triplets(ref * 0.5, p0 * 0.5, p1 * 0.5)
    assert not any(each.is_inference() for each in (made.ref, made.p0, made.p1, made.judge))
