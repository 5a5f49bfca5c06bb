"""The runner of notebooks and the adoption of a run, on small notebooks written for each test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from simlib.book import parameters as dials
from simlib.book import run
from simlib.book.adopt import adopt
from simlib.book.notebooks import find_notebooks, read_notebook, read_source, tags, write_notebook
from simlib.book.run import run_notebooks
from simlib.book.values import Written
from simlib.errors import InputError, NotebookError, OutputError, UnknownNameError
from simlib.triplets import photos
from tests.conftest import ROOT
from tests.triplets.stored_triplets import save_as_split

HEAD = """# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
# ---

# %% [markdown]
# # Title

"""
PARAMETERS = '# %% tags=["parameters"]\nn = 64  # how many\nlabel: str = "a"  # its name, "quoted" or not\n\n'
# Each waits for what the other writes, so one after the other would never end well.
MEET = """import os, pathlib, sys, time
here = pathlib.Path({folder!r})
(here / {mine!r}).touch()
ends = time.monotonic() + 60
while not (here / {other!r}).exists():
    assert time.monotonic() < ends
    time.sleep(0.05)
variables = [os.environ[name] for name in ("OMP_NUM_THREADS", "SIMLIB_PROFILE")]
print(n, label, sys.executable, *variables, os.getcwd(), sep="|")
"""


def write(folder: Path, name: str, code: str, parameters: str = PARAMETERS, cell: str = "# %%") -> None:
    (folder / f"{name}.py").write_text(f"{HEAD}{parameters}{cell}\n{code}\n")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    (folder / "params").mkdir(parents=True)
    (folder / "params" / "quick.yaml").write_text("all: {n: 3}\n01-good: {label: b}\n")
    (folder / "params" / "smoke.yaml").write_text("")
    write(folder, "01-good", "print(n, label)")
    write(folder, "02-better", "print(n, label)")
    return folder


def outputs(path: Path) -> list[Any]:
    return [output for cell in read_notebook(path).cells for output in cell.get("outputs", [])]


def printed(path: Path) -> str:
    return "".join(output.get("text", "") for output in outputs(path))


def test_notebooks_run_side_by_side_with_their_parameters_in_kernels_of_this_python(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hijack = tmp_path / "share" / "kernels" / "python3" / "kernel.json"
    hijack.parent.mkdir(parents=True)
    hijack.write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    for name, mine, other in (("01-good", "one", "two"), ("02-better", "two", "one")):
        write(source, name, MEET.format(folder=str(tmp_path), mine=mine, other=other))
    before = sorted(source.rglob("*"))

    overrides = {"02-better": {"label": "it's"}}
    paths = run_notebooks(output=tmp_path / "out", source=source, parameters=overrides, jobs=2)
    assert paths == [tmp_path / "out" / "01-good.ipynb", tmp_path / "out" / "02-better.ipynb"]
    assert sorted((tmp_path / "out").iterdir()) == paths
    assert sorted(source.rglob("*")) == before
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for path, label in zip(paths, ("b", "it's"), strict=True):
        *found, folder = printed(path).strip().split("|")
        assert found == ["3", label, sys.executable, str(max(1, cores // 2)), "quick"]
        assert Path(folder).is_relative_to(tmp_path / "out")
    notebook = read_notebook(paths[0])
    assert notebook.metadata["simlib"] == {"profile": "quick", "parameters": {"n": 3, "label": "b"}}
    assert [cell.source for cell in notebook.cells] == [
        cell.source for cell in read_source(source / "01-good.py").cells
    ]
    assert "papermill" not in json.dumps(notebook)


def test_notebooks_that_raise_or_die_do_not_stop_the_others(source: Path, tmp_path: Path) -> None:
    write(source, "02-better", 'value = 1\nraise ValueError("first\\nno such triplet")')
    write(source, "03-dead", "import os\nos._exit(3)")
    with pytest.raises(NotebookError) as raised:
        run_notebooks(output=tmp_path / "out", source=source)
    message = str(raised.value)
    assert "2 of 3 notebooks failed" in message
    assert "02-better, cell 3 (value = 1): ValueError: no such triplet" in message
    assert "03-dead, no cell raised, but papermill stopped: " in message
    partial = tmp_path / "out" / "failed" / "02-better.ipynb"
    assert str(partial) in message
    assert [output.output_type for output in outputs(partial)] == ["error"]
    assert [path.name for path in (tmp_path / "out").glob("*.ipynb")] == ["01-good.ipynb"]
    assert printed(tmp_path / "out" / "01-good.ipynb") == "3 b\n"


def test_a_kernel_that_did_not_start_is_started_once_more(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, tries = run._execute, list[str]()

    def first_in_vain(job: Any, *others: Any) -> tuple[int, list[str]]:
        tries.append(job.name)
        died = (1, ["RuntimeError: Kernel died before replying to kernel_info"])
        return died if len(tries) == 1 else execute(job, *others)

    monkeypatch.setattr(run, "_execute", first_in_vain)
    (path,) = run_notebooks(["01-good"], output=tmp_path / "out", source=source)
    assert tries == ["01-good", "01-good"]
    assert printed(path) == "3 b\n"


QUICK = "params/quick.yaml"
BROKEN = '# %% tags=["parameters"]\nn = \n'


@pytest.mark.parametrize(
    ("files", "arguments", "error", "message"),
    [
        ({}, {"parameters": {"all": {"labels": 1}}}, UnknownNameError, "'labels'. Did you mean label?"),
        ({}, {"parameters": {"01-good": {"labels": 1}}}, UnknownNameError, "'labels'. Did you mean label?"),
        ({}, {"parameters": {"01-god": {"label": 1}}}, UnknownNameError, "'01-god'. Did you mean 01-good?"),
        ({}, {"names": ["01-god"]}, UnknownNameError, "Unknown notebook '01-god'"),
        ({}, {"profile": "smok"}, UnknownNameError, "Did you mean smoke"),
        ({QUICK: "02-better: {m: 3}"}, {"names": ["01-good"]}, UnknownNameError, "notebook parameter 'm'"),
        ({QUICK: "[1]"}, {}, InputError, "must map notebook names"),
        ({QUICK: "{"}, {}, InputError, "is not valid YAML"),
        ({"01-good.py": "# %%\n1"}, {}, NotebookError, "has no parameters cell"),
        ({}, {"jobs": 0}, InputError, "jobs is 0"),
        ({}, {"parameters": {"all": {"n": 0}}}, InputError, "In 01-good, 02-better: n is 0"),
        ({}, {"parameters": {"02-better": {"n": 8.5}}}, InputError, "In 02-better: n is 8.5"),
        ({}, {"parameters": {"all": {"n": Written("8.5")}}}, InputError, "must be a whole number"),
        ({QUICK: "all: {n: many}"}, {"names": ["01-good"]}, InputError, "In 01-good: n "),
        (
            {"01-good.py": BROKEN},
            {},
            NotebookError,
            "01-good.py has dials that are no Python: cell 1 (n =), l",
        ),
    ],
)
def test_faults_stop_a_run_before_it_begins(
    source: Path, tmp_path: Path, files: dict, arguments: dict, error: type[Exception], message: str
) -> None:
    for name, content in files.items():
        (source / name).write_text(content)
    with pytest.raises(error) as raised:
        run_notebooks(**{"output": tmp_path / "out", "source": source, **arguments})
    assert message in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_stops_a_run_too(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        run_notebooks(output=tmp_path / "file" / "out", source=source)


def test_the_table_of_contents_gives_the_order(source: Path, tmp_path: Path) -> None:
    write(source, "third", "pass")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: notebooks/third\nchapters:\n  - file: notebooks/02-better\n"
    )
    assert list(find_notebooks(source)) == ["third", "02-better", "01-good"]
    assert list(find_notebooks(source, ["01-good", "third"])) == ["third", "01-good"]


def test_pages_show_the_values_that_were_used() -> None:
    code = (
        'n = 64  # how many\nlabel: str = "é"  # a name\nsizes = [\n    1,\n    2,\n]\n'
        "kept = None\nsame = ['a',\n 'b']"
    )
    notebook = new_notebook(cells=[new_code_cell(code, metadata={"tags": ["parameters"]})])
    dials.show_values(notebook, {"n": 3, "label": "it's", "sizes": [4], "same": ["a", "b"]})
    shown = (
        "n = 3  # how many\nlabel: str = \"it's\"  # a name\nsizes = [4]\nkept = None\nsame = ['a',\n 'b']"
    )
    assert notebook.cells[0].source == shown


def test_magics_among_the_dials_are_no_fault() -> None:
    code = "\n%matplotlib inline\nfiles = !ls\nn = 64  # how many\n!ls\nn?\nlabel = 'a%b'\n"
    notebook = new_notebook(cells=[new_code_cell(code, metadata={"tags": ["parameters"]})])
    assert dials.defaults_of(notebook) == {"files": None, "n": 64, "label": "a%b"}
    dials.show_values(notebook, {"n": 3})
    assert notebook.cells[0].source == code.replace("64", "3")
    notebook.cells[0].source = "%%time\nn = 64"
    assert dials.defaults_of(notebook) == {"n": 64}


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("n = ", "cell 2 .n =., line 1: invalid syntax"),
        ("n = 1\n m = 2", "cell 2 .n = 1., line 2: unexpected indent"),
        ("%time 1 + \\\n 2\nn = 1", "a magic of several lines"),
    ],
)
def test_dials_that_are_no_python_are_told_with_notebook_and_cell(code: str, place: str) -> None:
    cell = new_code_cell(code, metadata={"tags": ["parameters"]})
    notebook = new_notebook(cells=[new_code_cell("1"), cell])
    with pytest.raises(NotebookError, match=rf"^one\.ipynb has dials that are no Python: .*{place}"):
        dials.defaults_of(notebook, Path("one.ipynb"))
    with pytest.raises(NotebookError, match=f"A notebook has dials .*{place}"):
        dials.show_values(notebook, {"n": 3})


def test_overrides_name_a_notebook_or_all() -> None:
    for text, parsed in (
        ("n=16", ("all", "n", "16")),
        ("gradient-attacks.metrics=[l2, ssim]", ("gradient-attacks", "metrics", "[l2, ssim]")),
        ("label = a = b ", ("all", "label", "a = b")),
    ):
        assert dials.parse_override(text) == parsed
    for text in ("n", "=3"):
        with pytest.raises(InputError, match="must look like"):
            dials.parse_override(text)


def test_a_written_value_is_read_by_the_type_of_its_parameter(source: Path) -> None:
    write(source, "03-other", "pass", '# %% tags=["parameters"]\nlabel = 3\n\n')
    known = dials.known_parameters(find_notebooks(source))
    assert known["03-other"] == {"label": 3}
    _, name, value = dials.parse_override("label=2024")
    assert dials.resolve(known, known, {}, {"all": {name: value}}) == {
        "01-good": {"label": "2024"},
        "02-better": {"label": "2024"},
        "03-other": {"label": 2024},
    }
    with pytest.raises(InputError, match=r"parameter 03-other\.label .* must be a whole number, such as 3"):
        dials.resolve(known, ["03-other"], {}, {"all": {"label": dials.parse_override("label=no")[2]}})


def test_a_relative_path_is_meant_from_where_the_command_is_given(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    write(source, "01-good", "print(data)", '# %% tags=["parameters"]\ndata = "photos"  # which\n\n')
    profile = {"profile": "smoke", "source": source, "output": tmp_path / "out"}
    (path,) = run_notebooks(["01-good"], parameters={"all": {"data": "./mine"}}, **profile)
    assert printed(path) == f"{tmp_path / 'mine'}\n"


def test_the_former_result_stays_until_the_new_one_is_whole(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    path = out / "01-good.ipynb"
    path.write_text("former")
    write(source, "01-good", "raise ValueError")
    with pytest.raises(NotebookError, match="still there, of a former run: ") as raised:
        run_notebooks(["01-good"], output=out, source=source)
    assert str(path) in str(raised.value)
    assert path.read_text() == "former"
    assert (out / "failed" / "01-good.ipynb").exists()
    write(source, "01-good", "print(1)")
    run_notebooks(["01-good"], output=out, source=source)
    assert printed(path) == "1\n"
    assert not (out / "failed" / "01-good.ipynb").exists()


def test_a_disk_that_is_full_is_told(source: Path, tmp_path: Path) -> None:
    write(source, "01-good", 'print("x" * 200_000)')
    code = "import sys; from pathlib import Path; from simlib.book.run import run_notebooks; "
    code += "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); "
    code += "run_notebooks(['01-good'], 'smoke', output=Path(sys.argv[1]), source=Path(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(tmp_path / "out"), str(source)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()[-1]
    assert told.startswith("simlib.errors.OutputError: A notebook cannot be written to ")
    assert "File too large. Make room there, or choose another folder" in told
    assert list((tmp_path / "out").iterdir()) == []


def test_files_where_the_caller_is_are_no_modules_of_the_run(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random", "types", "papermill"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from where the caller is')")
    monkeypatch.chdir(tmp_path)
    write(source, "01-good", "import random, types; print(random.__file__ == types.__file__)")
    (path,) = run_notebooks(["01-good"], output=tmp_path / "out", source=source)
    assert printed(path) == "False\n"


# Adoption


@pytest.fixture
def executed(source: Path, tmp_path: Path) -> Path:
    """Return a folder with the notebooks as papermill leaves them; the second drew the teaser."""
    (tmp_path / "book" / "_static").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    write(source, "02-better", "draw()", cell='# %% tags=["teaser"]')
    picture = {"image/png": "iVBORw0KGgo="}
    for name, output in (
        ("01-good", new_output("stream", text="3 b\n")),
        ("02-better", new_output("display_data", data=picture)),
    ):
        notebook = read_source(source / f"{name}.py")
        bar = new_output("stream", name="stderr", text="\rPGD:  50%")
        notebook.cells[-1].outputs = [bar, output]
        notebook.cells.insert(2, new_code_cell("n = 3", metadata={"tags": ["injected-parameters"]}))
        notebook.metadata["papermill"] = {"output_path": str(tmp_path)}
        write_notebook(notebook, tmp_path / "out" / f"{name}.ipynb")
    return tmp_path / "out"


def test_adoption_keeps_pairs_and_takes_the_teaser(source: Path, executed: Path, tmp_path: Path) -> None:
    written = adopt(executed, root=tmp_path)
    assert [path.name for path in written] == ["01-good.ipynb", "02-better.ipynb", "teaser.png"]
    assert written[2].read_bytes().startswith(b"\x89PNG")
    notebook = read_notebook(source / "01-good.ipynb")
    assert notebook.metadata["jupytext"]["formats"] == "ipynb,py:percent"
    assert [tags(cell) for cell in notebook.cells] == [[], ["parameters"], []]
    assert notebook.cells[1].source.startswith("n = 64")
    assert printed(source / "01-good.ipynb") == "3 b\n"
    assert str(tmp_path) not in json.dumps(notebook)


def test_adoption_refuses_a_run_of_other_cells_and_one_that_lacks_a_notebook(
    source: Path, executed: Path, tmp_path: Path
) -> None:
    write(source, "02-better", "print('since changed')")
    with pytest.raises(NotebookError, match="has changed since"):
        adopt(executed, root=tmp_path)
    empty = read_source(source / "01-good.py")
    write_notebook(empty, executed / "01-good.ipynb")
    with pytest.raises(NotebookError, match="has no outputs"):
        adopt(executed, root=tmp_path)
    twice = read_source(source / "01-good.py")
    twice.cells[-1].outputs = [new_output("stream", text="3 b\n")]
    twice.cells[1].execution_count, twice.cells[2].execution_count = 5, 2
    write_notebook(twice, executed / "01-good.ipynb")
    with pytest.raises(NotebookError, match="cannot be adopted: its cells were not run one after the other"):
        adopt(executed, root=tmp_path)
    (executed / "01-good.ipynb").unlink()
    with pytest.raises(NotebookError, match=r"No executed notebook .*01-good\.ipynb"):
        adopt(executed, root=tmp_path)
    assert not list(source.glob("*.ipynb"))


# Chapters


@pytest.mark.slow
def test_chapters_run_on_votes_in_files_and_say_what_stands_in_for_absent_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_as_split(tmp_path / "2afc" / "val", photos(16)[::2])
    # a relative path, which the notebooks must find from folders of their own
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMLIB_DATA", ".")
    monkeypatch.setenv("SIMLIB_WEIGHTS", "weights")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        # nothing listens there, so that every download fails at once
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    names = (
        "triplets",
        "gradient-attacks",
        "accuracy",
        "white-box",
        "transfer",
        "trade-off",
    )
    paths = run_notebooks(
        names,
        profile="smoke",
        output=tmp_path / "out",
        source=ROOT / "notebooks",
        parameters={"all": {"data": "bapps", "n": 6}, "gradient-attacks": {"table_n": 2}},
    )
    pages = {path.stem: path.read_text() for path in paths}
    for name, sentence in (
        (
            "gradient-attacks",
            "LPIPS (Alex) could not be loaded on this machine; ST-LPIPS (Alex) stands in.",
        ),
        ("gradient-attacks", "Left out for want of weights: LPIPS (Alex)."),
        ("accuracy", "Labels of this page: votes of people."),
        ("accuracy", "one more person"),
        ("white-box", "They are votes of people."),
        ("white-box", "The triplets are taken as independent."),
        ("trade-off", "These labels are votes of people."),
    ):
        assert sentence in pages[name], (name, sentence)
