"""The packages as a text tree: who imports whom, how often, and whether all arrows point down without a cycle.

`python tools/package_tree.py [ROOT]` prints the tree of the repository at ROOT (default: this one) and exits 1 on an
import that points up between packages, or on a cycle between files or folders. An arrow is one imported module in
one file: module-level, or lazy (inside a function). Imports under TYPE_CHECKING do not run; they are counted apart
and are no arrows; nor is the `__init__` that importing a module of a folder runs first. A cycle is looked for among the
entries (files and folders) of each folder, and among all files.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = {
    "smsr_bench": "benchmarks/smsr_bench",
    "smsr_export": "export/smsr_export",
    "smsr": "smsr",
    "smsr_runtime": "runtime/smsr_runtime",
}
"""Package and its folder, from the top floor to the ground: a package may import those below it."""
KINDS = ("module-level", "lazy", "type-checking")

Name = tuple[str, ...]
"""A module or folder by its dotted parts; a package's `__init__` keeps that last part."""
Graph = dict[Name, set[Name]]


@dataclass(frozen=True)
class Arrow:
    """`source` imports `target`; kind: one of KINDS."""

    source: Name
    target: Name
    kind: str


def modules(root: Path) -> dict[Name, Path]:
    """Every module of the packages below `root`."""
    return {
        (package, *file.relative_to(root / folder).with_suffix("").parts): file
        for package, folder in PACKAGES.items()
        for file in sorted((root / folder).rglob("*.py"))
    }


def arrows(files: Mapping[Name, Path]) -> list[Arrow]:
    """One for each pair of modules and kind; an import of our own that names no module raises ValueError."""
    listed: list[Arrow] = []
    for source, file in files.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        pairs = {(target, kind) for name, kind in _imports(tree, "module-level") for target in _resolve(name, files)}
        listed += [Arrow(source, target, kind) for target, kind in sorted(pairs) if target != source]
    return listed


def _imports(node: ast.AST, kind: str) -> Iterator[tuple[Name, str]]:
    """Dotted names that the code below `node` imports (`from a import b` gives a.b), each with its kind."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((tuple(alias.name.split(".")), kind) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            if child.level:
                raise ValueError(f"line {child.lineno}: expected an absolute import, got a relative one")
            base = tuple(str(child.module).split("."))
            yield from (((*base, alias.name), kind) for alias in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            yield from _imports(ast.Module(child.body, []), "type-checking")
            yield from _imports(ast.Module(child.orelse, []), kind)
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, "lazy" if function and kind == "module-level" else kind)


def _resolve(name: Name, files: Mapping[Name, Path]) -> list[Name]:
    """The module that `name` or the part before its last dot is; none for packages of others."""
    if name[0] not in PACKAGES:
        return []
    for candidate in (name, (*name, "__init__"), name[:-1], (*name[:-1], "__init__")):
        if candidate in files:
            return [candidate]
    raise ValueError(f"{'.'.join(name)}: expected one of the packages' modules, got none of that name")


def entry_graphs(running: Iterable[Arrow]) -> dict[Name, Graph]:
    """For each folder its entries and the arrows between them; the folder () holds the packages."""
    graphs: dict[Name, Graph] = defaultdict(lambda: defaultdict(set))
    for arrow in running:
        shared = _shared(arrow.source, arrow.target)
        graphs[shared][arrow.source[: len(shared) + 1]].add(arrow.target[: len(shared) + 1])
    return graphs


def _shared(first: Name, second: Name) -> Name:
    length = next((i for i, (a, b) in enumerate(zip(first, second)) if a != b), min(len(first), len(second)))
    return first[:length]


def cycles(graph: Mapping[Name, set[Name]]) -> list[list[Name]]:
    """Groups of two or more nodes that all reach each other."""
    reach = {node: _reachable(node, graph) for node in graph}
    groups = {frozenset({node, *(other for other in reach[node] if node in reach.get(other, ()))}) for node in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reachable(node: Name, graph: Mapping[Name, set[Name]]) -> set[Name]:
    seen: set[Name] = set()
    todo = list(graph[node])
    while todo:
        if (following := todo.pop()) not in seen:
            seen.add(following)
            todo += graph.get(following, ())
    return seen


def faults(running: Sequence[Arrow]) -> list[str]:
    """Upward arrows between packages, and cycles at every level, each as one line."""
    floor = {package: level for level, package in enumerate(PACKAGES)}
    upward = [arrow for arrow in running if floor[arrow.target[0]] < floor[arrow.source[0]]]
    lines = [f"upward: {_dotted(arrow.source)} -> {_dotted(arrow.target)} ({arrow.kind})" for arrow in upward]
    for folder, graph in sorted(entry_graphs(running).items()):
        for group in cycles(graph):
            lines.append(f"cycle in {_dotted(folder) or 'the repository'}: {', '.join(node[-1] for node in group)}")
    by_file: Graph = defaultdict(set)
    for arrow in running:
        by_file[arrow.source].add(arrow.target)
    lines += [f"cycle of {len(group)} files: {', '.join(map(_dotted, group))}" for group in cycles(by_file)]
    return lines


def between_packages(listed: Sequence[Arrow]) -> list[str]:
    """A line for each pair of packages: its arrows by kind."""
    counts = Counter((arrow.source[0], arrow.target[0], arrow.kind) for arrow in listed)
    pairs = [(a, b) for a in PACKAGES for b in PACKAGES if a != b and any(counts[a, b, kind] for kind in KINDS)]
    return [
        f"{a} -> {b}: " + ", ".join(f"{counts[a, b, kind]} {kind}" for kind in KINDS if counts[a, b, kind])
        for a, b in pairs
    ]


def tree(files: Mapping[Name, Path], running: Sequence[Arrow], deep: bool) -> Iterator[str]:
    """Packages, their folders and root files, each with what it imports; `deep`: the folders' files too."""
    for package in PACKAGES:
        yield from _entry((package,), files, running, deep)


def _entry(name: Name, files: Mapping[Name, Path], running: Sequence[Arrow], deep: bool) -> Iterator[str]:
    children = sorted({file[: len(name) + 1] for file in files if _inside(file, name) and file != name})
    lines = sum(
        len(path.read_text(encoding="utf-8").splitlines()) for file, path in files.items() if _inside(file, name)
    )
    label = f"{'    ' * (len(name) - 1)}{name[-1]}{'/' if children else ''}"
    used = Counter(
        _seen_from(name, arrow.target)
        for arrow in running
        if _inside(arrow.source, name) and not _inside(arrow.target, name)
    )
    uses = ", ".join(f"{target} {count}" if count > 1 else target for target, count in sorted(used.items()))
    yield f"{label:<34}{lines:>5} lines{f'  -> {uses}' if uses else ''}"
    if deep or len(name) < 2:
        for child in children:
            yield from _entry(child, files, running, deep)


def _inside(module: Name, folder: Name) -> bool:
    return module[: len(folder)] == folder


def _seen_from(name: Name, target: Name) -> str:
    """A target as `name`'s line shows it: a sibling entry by its own name, anything farther by its package's."""
    shared = _shared(name, target)
    return ".".join(target[len(shared) : len(shared) + 1]) if shared else target[0]


def _dotted(name: Name) -> str:
    return ".".join(name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--files", action="store_true", help="also show the files inside of folders")
    options = parser.parse_args()
    files = modules(options.root)
    listed = arrows(files)
    running = [arrow for arrow in listed if arrow.kind != "type-checking"]
    counts = Counter(arrow.kind for arrow in listed)
    print("\n".join(tree(files, running, options.files)))
    print(f"\n{len(files)} files; arrows: {len(running)}, of them lazy: {counts['lazy']}; for type checkers only: "
          f"{counts['type-checking']}")  # fmt: skip
    print("\n".join(between_packages(listed)))
    broken = faults(running)
    print("\n".join(broken) if broken else "all arrows point down, no cycle between files or folders")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
