"""Ray itself: how this process joins a cluster or starts one, and how many workers it has room for."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Mapping
from typing import Any

from simlib.errors import AbsentPackageError, EngineError, InputError

_KNOCK = 10.0
"""Seconds that an address has to answer; Ray itself would try for several minutes."""


_STARTS = 3
"""Times that Ray is started; it gives up after seconds where the machine is busy with other things."""

_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


def share_of_gpu(device_type: str, gpus: float | None) -> float:
    """Return the GPUs of a worker: what was asked for, or one on ``"cuda"`` and none elsewhere.

    Raises:
        InputError: if it is neither a share of one GPU nor a whole number, or none is left for ``"cuda"``.
    """
    if gpus is None:
        return 1.0 if device_type == "cuda" else 0.0
    if not gpus >= 0 or (gpus > 1 and gpus != int(gpus)):
        raise InputError(
            f"gpus_per_worker is {gpus}. It must be a share of one GPU, or a whole number of them."
        )
    if device_type == "cuda" and gpus == 0:
        raise InputError("gpus_per_worker is 0, and the device is 'cuda'. Give each worker a share of a GPU.")
    return gpus


def room_for_workers(nodes: list[dict[str, Any]], cpus: int, gpus: float) -> int:
    """Return how many workers there is room for.

    Args:
        nodes: as ``ray.nodes()`` lists them.
        cpus: cores of each worker.
        gpus: GPUs of each worker.
    """
    return sum(_room_on(node["Resources"], cpus, gpus) for node in nodes if node["Alive"])


def require_room(room: int, wanted: int, cpus: int, gpus: float) -> None:
    """Refuse to start more workers than there is room for.

    Raises:
        InputError: saying what there is and what was asked for.
    """
    if room < wanted:
        each = f"{cpus} CPU{'s' * (cpus > 1)}" + f" and {gpus:g} GPU{'s' * (gpus > 1)}" * (gpus > 0)
        raise InputError(
            f"The Ray cluster has room for {room} worker{'s' * (room != 1)} of {each}, and {wanted} "
            f"{'are' if wanted > 1 else 'is'} wanted. Ask for fewer or smaller ones, or start more nodes; "
            "`ray status` shows what the cluster has."
        )


def _room_on(resources: Mapping[str, float], cpus: int, gpus: float) -> int:
    room = int(resources.get("CPU", 0)) // cpus
    if not gpus:
        return room
    # Several workers may share a GPU, but none works on what is left of two.
    here = int(resources.get("GPU", 0))
    return min(room, here * int(1 / gpus + 1e-9) if gpus < 1 else here // int(gpus))


def connect(address: str | None, cpus: int | None) -> tuple[Any, contextlib.ExitStack]:
    """Connect this process to a cluster, and return Ray with what is to be undone in the end.

    Args:
        address: of the cluster; None for ``RAY_ADDRESS``, or else a new one on this machine.
        cpus: that a new one shall offer; None for all of the machine.

    Raises:
        AbsentPackageError: if Ray is not installed.
        EngineError: if there is no cluster at the address, or none can be started.
    """
    # Nobody else learns what is computed here. Ray reads this when it is imported and when it is started.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise AbsentPackageError(
            f"The engine 'ray' needs Ray, which is not installed ({error}). Install it with "
            "`pip install 'simlib[ray]'`, or choose the engine 'local'."
        ) from error
    connection = contextlib.ExitStack()
    if ray.is_initialized():
        return ray, connection
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address == "local":
        _start(ray, cpus)
    else:
        _join(ray, address)
    connection.callback(ray.shutdown)
    return ray, connection


def _start(ray: Any, cpus: int | None) -> None:
    """Start a cluster on this machine, which ends with this process."""
    for left in reversed(range(_STARTS)):
        try:
            ray.init("local", num_cpus=cpus, include_dashboard=False, **_QUIET)
            return
        except Exception as error:  # of no class of its own where processes took too long to start
            ray.shutdown()
            if not left:
                raise EngineError(
                    f"Ray could not be started on this machine: {error} Try again when the machine has less "
                    "to do, or choose the engine 'local'."
                ) from error


def _join(ray: Any, address: str) -> None:
    """Connect to a cluster that runs."""
    _knock(address)
    try:
        ray.init(address, **_QUIET)
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise EngineError(
            f"The Ray cluster at {address!r} cannot be joined: {error} "
            "`ray status --address HOST:PORT` asks a cluster how it is."
        ) from error


def _knock(address: str) -> None:
    """Refuse an address at which nothing listens."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()
    except OSError as error:
        raise EngineError(
            f"There is no Ray cluster at {address!r}: {error}. Start one there with `ray start --head "
            f"--port={port}`, or leave the address out to start one on this machine."
        ) from error
