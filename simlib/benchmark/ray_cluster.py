"""Ray itself: how this process joins a cluster or starts one, and how many workers it has room for."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from simlib.errors import AbsentPackageError, EngineError, InputError, install_hint
from simlib.given import given_path

_KNOCK = 10.0
"""Seconds that an address has to answer; Ray itself would try for several minutes."""

_STARTS = 3
"""Times that Ray is started; it gives up after seconds where the machine is busy with other things."""

_LEAST_ROOM = 2**20
"""Bytes of room that Ray needs at the very least to begin with."""

_LONGEST_SOCKET = 107
"""Letters that the path of a socket may have."""

_OF_RAY = len("/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
"""Letters of them that Ray adds."""

_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


def share_of_gpu(device_type: str, gpus: float | None) -> float:
    """Return the GPUs of a worker, checked: those asked for, or one on ``"cuda"`` and none elsewhere."""
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
    """Return how many workers of so many cores and GPUs have room on nodes, as ``ray.nodes()`` lists them."""
    room = 0
    for resources in (node["Resources"] for node in nodes if node["Alive"]):
        here, gpus_here = int(resources.get("CPU", 0)) // cpus, int(resources.get("GPU", 0))
        if gpus:
            # Several workers may share a GPU, but none works on what is left of two.
            here = min(here, gpus_here * int(1 / gpus + 1e-9) if gpus < 1 else gpus_here // int(gpus))
        room += here
    return room


def require_room(room: int, wanted: int, cpus: int, gpus: float) -> None:
    """Refuse to start more workers than there is room for."""
    if room < wanted:
        each = f"{cpus} CPU{'s' * (cpus > 1)}" + f" and {gpus:g} GPU{'s' * (gpus > 1)}" * (gpus > 0)
        raise InputError(
            f"The Ray cluster has room for {room} worker{'s' * (room != 1)} of {each}, and {wanted} "
            f"{'are' if wanted > 1 else 'is'} wanted. Ask for fewer or smaller ones, or start more nodes; "
            "`ray status` shows what the cluster has."
        )


def connect(address: str | None, cpus: int | None) -> tuple[Any, contextlib.ExitStack]:
    """Connect this process to a cluster, and return Ray with what is to be undone in the end.

    Address and errors are those of :class:`simlib.benchmark.ray_engine.RayEngine`. A new cluster offers so
    many cores; None for all of the machine.
    """
    # Nobody else learns what is computed here. Ray reads this when it is imported and when it is started.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise AbsentPackageError(
            f"The engine 'ray' needs Ray, which is not installed ({error}). "
            f"Install it: {install_hint('ray')}. Or choose the engine 'local'."
        ) from error
    connection = contextlib.ExitStack()
    if not ray.is_initialized():
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        if address == "local":
            _start(ray, cpus)
        else:
            _join(ray, address)
        connection.callback(ray.shutdown)
    return ray, connection


class _Folders(list[str]):
    """The folders that workers import from besides their own: never the one where the caller merely is."""

    def extend(self, folders: Any) -> None:
        """Take those that this process imports from."""
        known = {os.path.abspath(folder) for folder in sys.path}
        super().extend(folder for folder in folders if folder in known)


def _init(ray: Any, address: str, **options: Any) -> None:
    """Start or join a cluster; what signals do, and what can be imported, stays as it was."""
    job = ray.job_config.JobConfig()
    job._py_driver_sys_path = _Folders()
    with _own_signals():
        ray.init(address, job_config=job, **options, **_QUIET)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Give SIGTERM back the meaning that it had: Ray would end this process without its own exit code."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _start(ray: Any, cpus: int | None) -> None:
    """Start a cluster on this machine, which ends with this process."""
    for left in reversed(range(_STARTS)):
        try:
            _init(ray, "local", num_cpus=cpus, include_dashboard=False)
            return
        except Exception as error:  # of no class of its own where processes took too long to start
            ray.shutdown()
            advice = obstacle()
            if advice or not left:
                if not advice and "timed out" in str(error):
                    advice = "Try again when the machine has less to do."
                told = f"Ray could not be started on this machine: {str(error).strip().rstrip('.')}."
                raise EngineError(
                    " ".join(filter(None, (told, advice, "Or choose the engine 'local'.")))
                ) from error


def obstacle() -> str:
    """Say in a sentence or two why Ray cannot write what it has to on this machine; empty if it can."""
    home, temporary = given_path("~"), given_path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    for what, folder, variable in (
        ("key into the home folder", home, "HOME"),
        ("sockets and logs into", temporary, "RAY_TMPDIR"),
    ):
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(_LEAST_ROOM))
        except OSError as error:
            return (
                f"It writes its {what} {folder}, which cannot be written to: {error.strerror}. "
                f"Set {variable} to a folder that may be written to and has room."
            )
    longest = _LONGEST_SOCKET - _OF_RAY
    if len(os.fsencode(temporary)) > longest:
        return (
            f"The path of its folder for sockets, {temporary}, has more than {longest} letters. "
            "Set RAY_TMPDIR to a shorter one."
        )
    return ""


def _join(ray: Any, address: str) -> None:
    """Connect to a cluster that runs; an address at which nothing listens is refused at once."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdigit():
            socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()
    except OSError as error:
        raise EngineError(
            f"There is no Ray cluster at {address!r}: {error}. Start one there with `ray start --head "
            f"--port={port}`, or leave the address out to start one on this machine."
        ) from error
    try:
        _init(ray, address)
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise EngineError(
            f"The Ray cluster at {address!r} cannot be joined: {error} "
            "`ray status --address HOST:PORT` asks a cluster how it is."
        ) from error
