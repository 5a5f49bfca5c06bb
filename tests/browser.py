"""Chromium for the tests of the pages: find it, or install it (``python -m tests.browser``)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    # Chromium's sandbox refuses to work for root
    *(("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()),
)


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome on this machine; None without one."""
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def in_ci() -> bool:
    """Return whether an absent browser is a failure."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def install_chromium() -> bool:
    """Install Chromium: the system's package as root, else Playwright's own; return whether it worked."""
    own = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    package = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
    system = [["apt-get", "update", "-qq"], package]
    may_install = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for commands in (system, own) if may_install else (own,):
        for command in commands:
            subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=False)
        if find_chromium() is not None:
            break
    return find_chromium() is not None


def main() -> int:
    """Make sure of a browser; without one only CI fails, elsewhere its tests skip."""
    if find_chromium():
        return 0
    print("Installing Chromium for the tests of the pages", flush=True)
    if install_chromium():
        return 0
    print("Chromium could not be installed: the tests that open pages will be skipped (in CI they fail).")
    return 1 if in_ci() else 0


if __name__ == "__main__":
    sys.exit(main())
