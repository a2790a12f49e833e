"""Digests of the code that builds a model, which show that a record may be out of date.

They are not part of a run's identity: a code change that changes masks needs a new `version` on the
card. The digests cover the modules of the model's package and of `isbench.nn` that its builder
imports, also those that it imports later, without comments and docstrings.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import partial
from hashlib import sha256
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, resolve_name
from typing import Any

from isbench.lazy_function import LazyFunction
from isbench.types import ModelCard

_NETWORKS = "isbench.nn"


def digest_source(card: ModelCard) -> dict[str, str]:
    """Return 12 hex digits by module name, empty if the builder's module has no source file."""
    build: Any = card.build
    while isinstance(build, partial):
        build = build.func
    if isinstance(build, LazyFunction):
        name = build.module
    else:
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
            pending += _list_imports(tree, module)
    return dict(sorted(digests.items()))


def _is_within(module: str, packages: set[str]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def _parse_module(module: str) -> ast.Module | None:
    """Return the code of a module without docstrings, None if it has no source file."""
    try:
        tree = ast.parse(_read_source(module))
    except (ImportError, OSError, TypeError, ValueError, SyntaxError):
        return None
    for node in ast.walk(tree):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _read_source(module: str) -> str:
    """Return the source of a module, which need not be imported yet.

    Raises ImportError, OSError or TypeError if there is none.
    """
    if module in sys.modules:
        return inspect.getsource(sys.modules[module])
    spec = _find_spec(module)
    source = getattr(spec and spec.loader, "get_source", lambda _: None)(module)
    if source is None:
        raise ImportError(f"no source of {module}", name=module)
    return str(source)


def _find_spec(module: str) -> ModuleSpec | None:
    """Return the spec of a module; its packages are not imported, as `find_spec` alone would do."""
    package, _, _ = module.rpartition(".")
    if not package:
        return find_spec(module)
    parent = _find_spec(package)
    places = parent.submodule_search_locations if parent is not None else None
    return None if places is None else PathFinder.find_spec(module, places)


def _list_imports(tree: ast.Module, module: str) -> set[str]:
    """Return the fully qualified modules and names that a module imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = _resolve_origin(node, module)
            names |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
    return names


def _resolve_origin(node: ast.ImportFrom, module: str) -> str:
    """Return the fully qualified module that `from ... import` names."""
    if not node.level:
        return node.module or ""
    spec = _find_spec(module)
    is_package = spec is not None and spec.submodule_search_locations is not None
    package = module if is_package else module.rpartition(".")[0]
    return resolve_name("." * node.level + (node.module or ""), package)
