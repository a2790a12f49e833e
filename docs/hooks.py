"""The parts of the site that are not in this folder: the README, and the files that pages link to.

Links in the files are relative to the repository; here they are rewritten for the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
# the file in the repository -> its place on the site
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "results/TABLES.md": "TABLES.md",
    "Dockerfile": "Dockerfile",
    "environment.yml": "environment.yml",
    "tests/plugin/isbench_toy_plugin/two.py": "two.py",
    "tests/plugin/pyproject.toml": "plugin.toml",
    **{f"results/{name}.csv": f"{name}.csv" for name in ("demo", "ideas", "layers", "propagation")},
    **{
        f"results/training/{file.name}": file.name
        for file in sorted((ROOT / "results/training").glob("*.csv"))
    },
}
_LINK = re.compile(r"(?<!\")\]\((?!https?:|#)([^)#]+)")  # not networks["name"](image)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside this folder."""
    for source, place in PAGES.items():
        path = str(ROOT / source)
        files.append(File.generated(config, place, abs_src_path=path))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn the links of a page to where things are on the site."""
    place = page.file.src_uri
    source = next((key for key, value in PAGES.items() if value == place), f"docs/{place}")

    def turn_link(found: re.Match[str]) -> str:
        target = (ROOT / source).parent / found[1]
        own = target.resolve().relative_to(ROOT).as_posix()
        return f"]({PAGES.get(own, own.removeprefix('docs/'))}"

    return _LINK.sub(turn_link, markdown)
