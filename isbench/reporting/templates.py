"""The parts of the pages that isbench writes and serves: HTML, style and script."""

from __future__ import annotations

from importlib.resources import files


def read_template(name: str) -> dict[str, str]:
    """Return the parts of a page, `report` or `demo`, by suffix: html, css, js.

    The script starts with the mask decoder that both pages share.
    """
    shared = files("isbench.reporting") / "assets"
    folder = files("isbench.demo") / "assets" if name == "demo" else shared
    parts = {kind: (folder / f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css", "js")}
    return {**parts, "js": (shared / "masks.js").read_text("utf-8") + parts["js"]}
