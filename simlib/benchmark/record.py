"""The record of a run: its plan, what was computed of which shards, and under which conditions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_serializer

from simlib.benchmark.plan import STORED, Part, Plan
from simlib.benchmark.plan_file import plan_to_dict
from simlib.benchmark.recipe import address
from simlib.errors import InputError
from simlib.files import written_whole


class RecordedRecipe(BaseModel):
    """What a row of a table was made by: address of the recipe, metric attacked, metric that judged.

    Attributes:
        part: the part of the plan that asks for it; a recipe that both ask for is recorded twice.
        title: how the plan calls the attack there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    part: Part
    title: str
    source: str
    target: str


class RunRecord(BaseModel):
    """One plan that was run into a store.

    Attributes:
        key: address of the plan.
        plan: the plan; it is not compared with what exists here.
        recipes: what it computes for each triplet, in the order of the tables.
        shards: address of every shard and how many triplets it has, in the order of the data.
        provenance: device, threads, versions, hashes and times, to be shown.
        finished: whether it ran to its end.
        created: when it was first run, ISO 8601.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    plan: Plan
    recipes: tuple[RecordedRecipe, ...]
    shards: tuple[tuple[str, int], ...]
    provenance: dict[str, str]
    finished: bool
    created: str

    @field_serializer("plan")
    def _plan(self, plan: Plan) -> dict[str, Any]:
        return plan_to_dict(plan)


def save_record(record: RunRecord, path: Path) -> None:
    """Write a record to a file with a checksum; where that fails, a former one stays as it was."""
    content = record.model_dump(mode="json")
    text = json.dumps({"checksum": address(content), **content}, indent=1, ensure_ascii=False)
    with written_whole(path) as temporary:
        temporary.write_text(text, "utf-8")


def load_record(path: Path) -> RunRecord:
    """Read a record from a file.

    Raises:
        FileNotFoundError: it is not there, or not any more.
        InputError: it is damaged, was changed by hand, or cannot be read.
    """
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict) or content.pop("checksum", "") != address(content):
            raise ValueError("it does not fit its checksum")
        return RunRecord.model_validate(content, context=STORED)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"The record {path} cannot be read: {error}. Correct that first.") from error
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"The record {path} is damaged: {reason}. Remove it and run its plan again with `simlib run`; "
            f"what {path.parent.parent} holds is kept."
        ) from error
