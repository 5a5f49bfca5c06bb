"""The record of a run: its plan, what was computed of which shards, and under which conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from simlib.benchmark.identity import address
from simlib.benchmark.plan import Part, Plan
from simlib.benchmark.plan_file import plan_from_dict, plan_to_dict
from simlib.errors import InputError
from simlib.files import written_whole


@dataclass(frozen=True)
class RecordedRecipe:
    """What a row of a table was made by.

    Attributes:
        key: address of the recipe.
        part: the part of the plan that asks for it; a recipe that both ask for is recorded twice.
        title: how the plan calls the attack there.
        source: name of the metric that was attacked.
        target: name of the metric that judged.
    """

    key: str
    part: Part
    title: str
    source: str
    target: str


@dataclass(frozen=True)
class RunRecord:
    """One plan that was run into a store.

    Attributes:
        key: address of the plan.
        plan: the plan.
        recipes: what it computes for each triplet, in the order of the tables.
        shards: address of every shard and how many triplets it has, in the order of the data.
        provenance: device, threads, versions, hashes and times, to be shown.
        finished: whether it ran to its end.
        created: when it was first run, ISO 8601.
    """

    key: str
    plan: Plan
    recipes: tuple[RecordedRecipe, ...]
    shards: tuple[tuple[str, int], ...]
    provenance: Mapping[str, str]
    finished: bool
    created: str


def save_record(record: RunRecord, path: Path) -> None:
    """Write a record to a file, replacing a former one.

    Raises:
        OutputError: the file cannot be written; a former one stays as it was.
    """
    content = {
        "key": record.key,
        "plan": plan_to_dict(record.plan),
        "recipes": [asdict(recipe) for recipe in record.recipes],
        "shards": [list(shard) for shard in record.shards],
        "provenance": dict(record.provenance),
        "finished": record.finished,
        "created": record.created,
    }
    text = json.dumps({**content, "checksum": address(content)}, indent=1, ensure_ascii=False)
    with written_whole(path) as temporary:
        temporary.write_text(text, "utf-8")


def load_record(path: Path) -> RunRecord:
    """Read a record from a file.

    Raises:
        FileNotFoundError: it is not there, or not any more.
        InputError: the file is damaged, was changed by hand, or cannot be read.
    """
    advice = f"Remove it and run its plan again with `simlib run`; what {path.parent.parent} holds is kept."
    try:
        content = json.loads(path.read_text("utf-8"))
        checksum = content.pop("checksum")
        whole = checksum == address(content)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"The record {path} cannot be read: {error}. Correct that first.") from error
    except (ValueError, LookupError, AttributeError, TypeError):
        whole, content = False, {}
    if not whole:
        raise InputError(f"The record {path} is damaged: it does not fit its checksum. {advice}")
    return RunRecord(
        key=content["key"],
        plan=plan_from_dict(content["plan"], str(path)),
        recipes=tuple(RecordedRecipe(**recipe) for recipe in content["recipes"]),
        shards=tuple((key, size) for key, size in content["shards"]),
        provenance=content["provenance"],
        finished=content["finished"],
        created=content["created"],
    )
