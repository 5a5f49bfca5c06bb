"""The runner of notebooks, on small notebooks written for each test."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nbformat
import pytest

from simlib.book import adopt as adoption
from simlib.book import parameters as dials
from simlib.book.notebooks import read_notebook, tags
from simlib.book.run import run_notebooks
from simlib.errors import InputError, NotebookError, OutputError, UnknownNameError
from simlib.triplets import photos
from tests.conftest import ROOT
from tests.stored_triplets import save_as_split

HEAD = """# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
# ---

# %% [markdown]
# # Title

"""
PARAMETERS = '# %% tags=["parameters"]\nn = 64  # how many\nlabel: str = "a"  # its name, "quoted" or not\n\n'


def write(folder: Path, name: str, code: str, parameters: str = PARAMETERS) -> None:
    (folder / f"{name}.py").write_text(f"{HEAD}{parameters}# %%\n{code}\n")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    (folder / "params").mkdir(parents=True)
    (folder / "params" / "quick.yaml").write_text("all: {n: 3}\n01-good: {label: b}\n")
    (folder / "params" / "smoke.yaml").write_text("")
    write(folder, "01-good", "print(n, label)")
    write(folder, "02-better", "print(n, label)")
    return folder


def printed(path: Path) -> str:
    return "".join(
        output.get("text", "") for cell in read_notebook(path).cells for output in cell.get("outputs", [])
    )


def test_parameters_come_from_profile_then_caller(source: Path, tmp_path: Path) -> None:
    before = sorted(source.rglob("*"))
    overrides = {"02-better": {"label": "it's"}}
    outcomes = run_notebooks(output=tmp_path / "out", source=source, parameters=overrides)
    assert [outcome.name for outcome in outcomes] == ["01-good", "02-better"]
    assert [printed(outcome.path) for outcome in outcomes] == ["3 b\n", "3 it's\n"]
    assert all(outcome.seconds > 0 and outcome.problem is None for outcome in outcomes)
    assert sorted(source.rglob("*")) == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["01-good.ipynb", "02-better.ipynb"]


def test_an_executed_notebook_knows_its_origin_and_no_machine(source: Path, tmp_path: Path) -> None:
    first = run_notebooks(["01-good"], output=tmp_path / "out", source=source)[0]
    notebook = read_notebook(first.path)
    assert notebook.metadata["simlib"]["profile"] == "quick"
    assert notebook.metadata["simlib"]["parameters"] == {"n": 3, "label": "b"}
    assert len(notebook.metadata["simlib"]["source_hash"]) == 64
    assert "papermill" not in json.dumps(notebook)
    assert str(tmp_path) not in json.dumps(notebook)
    write(source, "01-good", "print(n, label, 'changed')")
    second = run_notebooks(["01-good"], output=tmp_path / "out", source=source)[0]
    before, after = (
        read.metadata["simlib"]["source_hash"] for read in (notebook, read_notebook(second.path))
    )
    assert after != before


def test_one_that_raises_does_not_stop_the_others(source: Path, tmp_path: Path) -> None:
    write(source, "01-good", 'value = 1\nraise ValueError("first\\nno such triplet")')
    with pytest.raises(NotebookError) as raised:
        run_notebooks(output=tmp_path / "out", source=source)
    message = str(raised.value)
    assert "1 of 2 notebooks failed" in message
    assert "01-good, cell 3 (value = 1): ValueError: no such triplet" in message
    partial = tmp_path / "out" / "failed" / "01-good.ipynb"
    assert str(partial) in message
    assert any(
        output.output_type == "error"
        for cell in read_notebook(partial).cells
        for output in cell.get("outputs", [])
    )
    assert not (tmp_path / "out" / "01-good.ipynb").exists()
    assert printed(tmp_path / "out" / "02-better.ipynb") == "3 a\n"


def test_a_kernel_that_dies_is_a_failure_too(source: Path, tmp_path: Path) -> None:
    write(source, "01-good", "import os\nos._exit(3)")
    with pytest.raises(NotebookError, match="01-good"):
        run_notebooks(["01-good"], output=tmp_path / "out", source=source)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"all": {"labels": 1}}, "Unknown notebook parameter 'labels'. Did you mean label?"),
        ({"01-good": {"labels": 1}}, "Unknown notebook parameter 'labels'. Did you mean label?"),
        ({"01-god": {"label": 1}}, "Unknown notebook '01-god'. Did you mean 01-good?"),
    ],
)
def test_unknown_parameters_stop_before_anything_runs(
    overrides: dict, message: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError) as raised:
        run_notebooks(output=tmp_path / "out", source=source, parameters=overrides)
    assert message in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_an_unknown_parameter_in_a_profile_stops_too(source: Path, tmp_path: Path) -> None:
    (source / "params" / "quick.yaml").write_text("02-better: {m: 3}\n")
    with pytest.raises(UnknownNameError, match="Unknown notebook parameter 'm'"):
        run_notebooks(["01-good"], output=tmp_path / "out", source=source)


def test_an_unknown_profile_names_the_nearest(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean smoke"):
        run_notebooks(profile="smok", output=tmp_path / "out", source=source)


def test_an_unwritable_folder_stops_before_anything_runs(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        run_notebooks(output=tmp_path / "file" / "out", source=source)


def test_a_notebook_without_parameters_cell_is_refused(source: Path, tmp_path: Path) -> None:
    write(source, "01-good", "print(1)", parameters="")
    with pytest.raises(NotebookError, match="has no parameters cell"):
        run_notebooks(output=tmp_path / "out", source=source)


def test_no_job_at_all_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="jobs is 0"):
        run_notebooks(output=tmp_path / "out", source=source, jobs=0)


def test_kernels_are_of_this_python_with_their_share_of_the_cores(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hijack = tmp_path / "share" / "kernels" / "python3"
    hijack.mkdir(parents=True)
    (hijack / "kernel.json").write_text(
        json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    write(
        source,
        "01-good",
        "import os, sys\nvariables = ('OMP_NUM_THREADS', 'SIMLIB_PROFILE')\n"
        "print(sys.executable, *(os.environ[name] for name in variables), os.getcwd())",
    )
    outcome = run_notebooks(["01-good"], output=tmp_path / "out", source=source)[0]
    executable, threads, profile, folder = printed(outcome.path).split()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert (executable, threads, profile) == (sys.executable, str(cores), "quick")
    assert Path(folder).is_relative_to(tmp_path / "out")


def test_notebooks_run_side_by_side(source: Path, tmp_path: Path) -> None:
    # each waits for what the other writes, so one after the other would never end well
    meet = (
        "import pathlib, time\nhere = pathlib.Path({folder!r})\n(here / {mine!r}).touch()\n"
        "ends = time.monotonic() + 60\nwhile not (here / {other!r}).exists():\n"
        "    assert time.monotonic() < ends\n    time.sleep(0.05)"
    )
    write(source, "01-good", meet.format(folder=str(tmp_path), mine="one", other="two"))
    write(source, "02-better", meet.format(folder=str(tmp_path), mine="two", other="one"))
    assert len(run_notebooks(output=tmp_path / "out", source=source, jobs=2)) == 2


def test_pages_show_the_values_that_were_used() -> None:
    code = 'n = 64  # how many\nlabel: str = "é"  # a name\nsizes = [\n    1,\n    2,\n]\nkept = None'
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code, metadata={"tags": ["parameters"]})]
    )
    dials.show_values(notebook, {"n": 3, "label": "it's", "sizes": [4]})
    assert (
        notebook.cells[0].source
        == 'n = 3  # how many\nlabel: str = "it\'s"  # a name\nsizes = [4]\nkept = None'
    )


def test_overrides_are_read_as_yaml() -> None:
    assert dials.parse_override("n=16") == ("all", "n", 16)
    assert dials.parse_override("03-gradient-attacks.metrics=[l2, ssim]") == (
        "03-gradient-attacks",
        "metrics",
        ["l2", "ssim"],
    )
    assert dials.parse_override("step=1.5") == ("all", "step", 1.5)


def test_adoption_keeps_pairs_and_takes_the_teaser(source: Path, tmp_path: Path) -> None:
    (tmp_path / "book" / "_static").mkdir(parents=True)
    draw = 'from PIL import Image\nImage.new("RGB", (4, 4), "red")'
    (source / "02-better.py").write_text(f'{HEAD}{PARAMETERS}# %% tags=["teaser"]\n{draw}\n')
    run_notebooks(output=tmp_path / "out", source=source)
    written = adoption.adopt(tmp_path / "out", tmp_path)
    assert [path.name for path in written] == ["01-good.ipynb", "02-better.ipynb", "teaser.png"]
    assert written[2].read_bytes().startswith(b"\x89PNG")
    notebook = read_notebook(source / "01-good.ipynb")
    assert notebook.metadata["jupytext"]["formats"] == "ipynb,py:percent"
    assert notebook.cells[1].source.startswith("n = 64")
    assert tags(notebook.cells[1]) == ["parameters"]
    assert printed(source / "01-good.ipynb") == "3 b\n"


def test_adoption_refuses_a_run_of_other_cells(source: Path, tmp_path: Path) -> None:
    run_notebooks(output=tmp_path / "out", source=source)
    write(source, "02-better", "print('since changed')")
    with pytest.raises(NotebookError, match="has changed since"):
        adoption.adopt(tmp_path / "out", tmp_path)
    assert not list(source.glob("*.ipynb"))


@pytest.mark.slow
def test_without_weights_and_network_a_page_says_what_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        # nothing listens there, so that every download fails at once
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    (outcome,) = run_notebooks(
        ["03-gradient-attacks"],
        profile="smoke",
        output=tmp_path / "out",
        source=ROOT / "notebooks",
        parameters={"all": {"n": 4, "table_n": 2}},
    )
    page = outcome.path.read_text()
    assert "LPIPS (Alex) could not be had on this machine; ST-LPIPS (Alex) stands in." in page
    assert "Left out for want of weights: LPIPS (Alex)." in page


@pytest.mark.slow
def test_chapters_run_on_votes_in_files_by_one_parameter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladders = photos(24)[::2]
    save_as_split(tmp_path / "2afc" / "val", ladders)
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path))
    outcomes = run_notebooks(
        ["01-triplets", "03-gradient-attacks", "10-accuracy"],
        profile="smoke",
        output=tmp_path / "out",
        source=ROOT / "notebooks",
        parameters={"all": {"data": "bapps"}},
    )
    assert [outcome.problem for outcome in outcomes] == [None] * 3
    accuracy = json.dumps(read_notebook(outcomes[-1].path))
    assert "Labels of this page: votes of people." in accuracy
    assert "one more person" in accuracy


@pytest.mark.slow
def test_the_benchmark_runs_on_votes_in_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_as_split(tmp_path / "2afc" / "val", photos(16)[::2])
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path))
    outcomes = run_notebooks(
        ["11-white-box-benchmark", "12-transfer", "13-trade-off"],
        profile="smoke",
        output=tmp_path / "out",
        source=ROOT / "notebooks",
        parameters={"all": {"data": "bapps", "n": 6}},
    )
    assert [outcome.problem for outcome in outcomes] == [None] * 3
    white_box, _, trade_off = (json.dumps(read_notebook(outcome.path)) for outcome in outcomes)
    assert "They are votes of people." in white_box
    assert "The triplets are taken as independent." in white_box
    assert "These labels are votes of people." in trade_off
