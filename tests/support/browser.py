"""A headless Chromium for tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may be run by root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@contextmanager
def chromium(
    folder: Path, width: int = 1300, height: int = 900, dark: bool = False
) -> Iterator[Any]:
    """Lend a browser with a profile of its own in the folder; skip where there is none."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        if os.environ.get("ISBENCH_NEED_BROWSER"):
            pytest.fail("no chromium and chromedriver, and ISBENCH_NEED_BROWSER is set")
        pytest.skip("no chromium and chromedriver")
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--window-size={width},{height}", f"--user-data-dir={folder}"):
        options.add_argument(flag)
    if dark:
        options.add_argument("--blink-settings=preferredColorScheme=0")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    except WebDriverException as error:  # it is installed, and does not start here
        if os.environ.get("ISBENCH_NEED_BROWSER"):
            raise
        pytest.skip(f"chromium does not start: {error}")
    try:
        yield browser
    finally:
        browser.quit()


def complaints(browser: Any) -> list[str]:
    """Return what the page wrote to the console as errors or warnings."""
    return [
        entry["message"]
        for entry in browser.get_log("browser")
        if entry["level"] in ("SEVERE", "WARNING")
    ]
