"""Optional libraries: the command that installs one, from the extras in a package's metadata.

Not here: importing them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, requires

_DEVELOPMENT = "dev"  # an extra that has everything
# distributions that are imported under another name
_DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn", "cv2": "opencv-python"}
_EXTRA = re.compile(r"""([\w.-]+).*\bextra\s*==\s*['"]([\w.-]+)['"]""")


def describe_missing(library: str, package: str = "isbench") -> str:
    """Return that a library or module is not installed, and the command that installs it."""
    return f"{library}, which is not installed: {describe_installation(library, package)}"


def describe_installation(library: str, package: str = "isbench") -> str:
    """Return the command that installs a library that `package` uses.

    `library` is the name of a distribution or of its module. The command names an extra of the
    package if one has the library, the smallest one if several do. `package` may be "" or one that
    is not installed: it has no extras then.
    """
    module = library.partition(".")[0]
    name = _normalize(_DISTRIBUTIONS.get(module, module))
    extras = _read_extras(package)
    having = [extra for extra, libraries in extras.items() if name in libraries]
    if not having:
        return f"pip install {name}"
    smallest = min(having, key=lambda extra: (extra == _DEVELOPMENT, len(extras[extra]), extra))
    return f"pip install '{package}[{smallest}]'"


def _read_extras(package: str) -> dict[str, set[str]]:
    """Return the libraries of each extra of a package; none if it is not installed."""
    try:
        lines = requires(package) if package else None
    except PackageNotFoundError:
        lines = None
    extras: dict[str, set[str]] = defaultdict(set)
    for line in lines or ():
        if found := _EXTRA.match(line):
            extras[found[2]].add(_normalize(found[1]))
    return extras


def _normalize(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
