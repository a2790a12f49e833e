"""Digests of the code that builds a model, which show that a record may be out of date.

They are not part of a run's identity: a code change that changes masks needs a new `version` on the
card. The digests cover the modules of the model's package and of `isbench.nn` that its builder
imports, without comments and docstrings.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import partial
from hashlib import sha256
from typing import Any

from isbench.types import ModelCard

_NETWORKS = "isbench.nn"


def digest_source(card: ModelCard) -> dict[str, str]:
    """Return 12 hex digits by module name, empty if the builder's module has no source file."""
    build: Any = card.build
    while isinstance(build, partial):
        build = build.func
    name = getattr(build, "__module__", None) or type(build).__module__
    packages = {name.partition(".")[0], _NETWORKS} - {"isbench"}
    digests: dict[str, str] = {}
    pending = [name]
    while pending:
        module = pending.pop()
        if module in digests or not _is_within(module, packages):
            continue
        tree = _parse_module(module)
        if tree is not None:
            digests[module] = sha256(ast.unparse(tree).encode()).hexdigest()[:12]
            pending += _list_imports(tree)
    return dict(sorted(digests.items()))


def _is_within(module: str, packages: set[str]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def _parse_module(module: str) -> ast.Module | None:
    """Return the code of an imported module without docstrings, None if it has no source file."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return None
    for node in ast.walk(tree):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _list_imports(tree: ast.Module) -> set[str]:
    """Return the fully qualified modules and names that a module imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names
