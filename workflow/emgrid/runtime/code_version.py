"""The version of the code behind a cheap job: a hash of the definitions that it can reach.

Reads the package's source files without importing them. From a job's module it follows every name
to the statement that defines it, through all modules of emgrid. Layout does not count (where a
definition is, which modules import what, docstrings, comments, formatting); everything else does.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from emgrid.runtime.remembered_versions import remembered

PACKAGE = Path(__file__).parents[1]
# Modules that start, watch, time and end jobs or word their errors. They compute no values.
WITHOUT_VALUES = {
    "runtime.errors",
    "runtime.job",
    "runtime.watchdog",
    "runtime.timing",
    "runtime.progress_bar",
}
DOTTED = re.compile(r"\bemgrid(\.\w+)+")

Name = tuple[str, str]  # a module and a name that it defines; an empty name means the whole module
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass
class Module:
    """imports: by local name, the imported name. definitions: by name, the statements that bind
    it. effects: statements with other effects on import. read: cache, by statement."""

    name: str
    imports: dict[str, Name] = field(default_factory=dict)
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)
    read: dict[ast.stmt, "Statement"] = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """text: its syntax tree, with imported names as in the modules that define them. names: the
    names of emgrid that it uses. packages: packages whose modules it lists and imports."""

    text: str
    names: frozenset[Name]
    packages: frozenset[str]


def code_version(*modules: str, files: tuple[Path, ...] = ()) -> str:
    """A hash of all code that the modules of a job can reach, 16 hexadecimal digits.

    files: other files that the job reads, hashed by content. For cheap jobs, which may run again.
    """
    texts = sorted({(path.name, path.read_text(encoding="utf-8")) for path in files})
    question = hashlib.sha256(repr((modules, texts)).encode()).hexdigest()[:16]
    return remembered(PACKAGE, question, lambda: version_of(modules, texts))


def version_of(modules: tuple[str, ...], texts: list[tuple[str, str]]) -> str:
    parts = set(texts)
    for reached in reachable(modules):
        uses = sorted((name, text_of((module, name))) for module, name in reached.names if name)
        parts.add((reached.text, repr(uses)))
    return hashlib.sha256(repr(sorted(parts)).encode()).hexdigest()[:16]


def reachable(modules: tuple[str, ...]) -> set[Statement]:
    """The statements of the modules, and those that they use, directly or indirectly."""
    reached: set[Statement] = set()
    todo: list[Name] = [(module, "") for module in modules]
    queued = set(todo)
    while todo:
        for statement in statements_of(todo.pop()):
            if statement not in reached:
                reached.add(statement)
                names = set(statement.names)
                for package in statement.packages:
                    names |= {(module, "") for module in modules_below(package)}
                todo += names - queued
                queued |= names
    return reached


@cache
def statements_of(name: Name) -> tuple[Statement, ...]:
    """The statements that define a name, and those that run when its module is imported."""
    module = read_module(name[0])
    if module is None:
        raise ValueError(f"there is no module {name[0]}")
    if name[1]:
        nodes = module.definitions.get(name[1], [])
    else:
        nodes = [node for nodes in module.definitions.values() for node in nodes]
    unique = {id(node): node for node in [*nodes, *module.effects]}
    return tuple(read_statement(module, node) for node in unique.values())


@cache
def text_of(name: Name) -> str:
    """A digest of a name's definition, which differs for two definitions of one name."""
    module = read_module(name[0])
    nodes = module.definitions.get(name[1], []) if module else []
    texts = [read_statement(module, node).text for node in nodes] if module else []
    return hashlib.sha256(repr(texts).encode()).hexdigest()[:16]


def modules_below(package: str) -> Iterator[str]:
    """The modules of a package's folder, without `__init__`."""
    folder = PACKAGE.joinpath(*package.split(".")[1:])
    for path in sorted(folder.glob("*.py")):
        if path.stem != "__init__":
            yield f"{package}.{path.stem}"


def source_of(module: str) -> Path | None:
    """The file of a module of emgrid; None if there is none."""
    base = PACKAGE.joinpath(*module.split(".")[1:])
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def is_ours(module: str) -> bool:
    return module.split(".")[0] == "emgrid"


@cache
def read_module(name: str) -> Module | None:
    """Read a module's statements by the names that they bind; None if there is no such module."""
    path = source_of(name)
    if path is None:
        return None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = Module(name)
    for line in lines_of(tree):
        if isinstance(line, ast.Import | ast.ImportFrom):
            module.imports |= dict(imported(line))
    for node in tree.body:
        if is_import(node) or is_text(node) or is_main_guard(node):
            continue
        bound = sorted(bound_by(node))
        for local in bound:
            module.definitions.setdefault(local, []).append(node)
        if not bound or not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
        ):
            module.effects.append(node)
    return module


def lines_of(node: ast.AST) -> Iterator[ast.AST]:
    """The statements below a node, at any depth, without their expressions."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for line in getattr(node, name, None) or ():
            yield line
            yield from lines_of(line)


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Name]]:
    """The local names of an import, each with what it refers to: (module, name) or (module, "")."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            whole = alias.name if alias.asname else alias.name.split(".")[0]
            yield alias.asname or whole, (whole, "")
            continue
        origin = str(node.module)
        inner = f"{origin}.{alias.name}"
        ours = is_ours(origin) and source_of(inner) is not None
        yield alias.asname or alias.name, (inner, "") if ours else (origin, alias.name)


def is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def is_text(node: ast.AST) -> bool:
    """Whether a statement is a docstring, of a module, class, function or field."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def is_main_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def bound_by(node: ast.AST) -> set[str]:
    """The names that a node binds in its own scope."""
    bound: set[str] = set()
    todo = [node]
    while todo:
        inner = todo.pop()
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(inner.name)
            continue
        if isinstance(inner, Comprehension | ast.Lambda):
            continue
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store | ast.Del):
            bound.add(inner.id)
        elif isinstance(inner, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and inner.name:
            bound.add(inner.name)
        elif isinstance(inner, ast.MatchMapping) and inner.rest:
            bound.add(inner.rest)
        todo += ast.iter_child_nodes(inner)
    return bound


def resolve(module: Module, local: str) -> Name | None:
    """What a global name of a module refers to: (module, name), (module, "") for a whole module,
    None for a builtin. Re-exported names of emgrid are followed to the module that defines them."""
    if local in module.definitions:
        return module.name, local
    origin_name = module.imports.get(local)
    if origin_name is None or not origin_name[1] or not is_ours(origin_name[0]):
        return origin_name
    origin = read_module(origin_name[0])
    return (resolve(origin, origin_name[1]) if origin else None) or origin_name


def read_statement(module: Module, node: ast.stmt) -> Statement:
    if node not in module.read:
        reader = Reader(module)
        text = ast.dump(reader.visit(node))
        names, packages = frozenset(reader.names), frozenset(reader.packages)
        module.read[node] = Statement(text, names, packages)
    return module.read[node]


class Reader(ast.NodeTransformer):
    """Replaces global names by what they refer to, and drops imports and docstrings."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.names: set[Name] = set()
        self.packages: set[str] = set()
        self.scopes: list[set[str]] = []

    def what(self, node: ast.expr) -> Name | None:
        """The global name that a name or dotted expression refers to; None for anything else."""
        if isinstance(node, ast.Name):
            local = any(node.id in scope for scope in self.scopes)
            return None if local else resolve(self.module, node.id)
        if not isinstance(node, ast.Attribute):
            return None
        target = self.what(node.value)
        if target is None or target[1]:
            return None
        if not is_ours(target[0]):
            return target[0], node.attr
        inner = f"{target[0]}.{node.attr}"
        if source_of(inner) is not None:
            return inner, ""
        origin = read_module(target[0])
        return (resolve(origin, node.attr) if origin else None) or (target[0], node.attr)

    def named(self, target: Name) -> ast.expr:
        """The node that replaces a global name. Names of emgrid omit the module, which is only
        layout."""
        if not is_ours(target[0]):
            return ast.Name(".".join(filter(None, target)), ast.Load())
        if target[0].removeprefix("emgrid.") not in WITHOUT_VALUES:
            self.names.add(target)
        return ast.Name(target[1] or "emgrid", ast.Load())

    def visit_Name(self, node: ast.Name) -> ast.expr:
        target = self.what(node) if isinstance(node.ctx, ast.Load) else None
        return self.named(target) if target else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        target = self.what(node) if isinstance(node.ctx, ast.Load) else None
        return self.named(target) if target else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, str):
            return ast.Constant(DOTTED.sub("emgrid", node.value))
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        called = self.what(node.func)
        if called == ("pkgutil", "iter_modules"):
            self.packages.add(self.module.name)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = annotation(node.annotation)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = annotation(node.annotation) or node.annotation
        return self.generic_visit(node)

    def scoped(self, node: ast.AST, bound: set[str]) -> ast.AST:
        self.scopes.append(bound)
        transformed = self.generic_visit(node)
        self.scopes.pop()
        return transformed

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self.function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.function(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self.function(node)

    def function(self, node: Function) -> ast.AST:
        arguments = node.args
        bound = {
            arg.arg for arg in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        }
        bound |= {arg.arg for arg in (arguments.vararg, arguments.kwarg) if arg}
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        bound |= set().union(*(bound_by(inner) for inner in body))
        shared = {
            name
            for inner in ast.walk(node)
            if isinstance(inner, ast.Global)
            for name in inner.names
        }
        # Defaults and decorators are evaluated outside the function's scope.
        defaults = [self.visit(default) for default in arguments.defaults]
        keyword_defaults = [default and self.visit(default) for default in arguments.kw_defaults]
        arguments.defaults, arguments.kw_defaults = [], []
        if isinstance(node, ast.Lambda):
            transformed = self.scoped(node, bound - shared)
        else:
            node.returns = annotation(node.returns)
            decorators = [self.visit(decorator) for decorator in node.decorator_list]
            node.decorator_list = []
            transformed = self.scoped(node, bound - shared)
            node.decorator_list = decorators
        arguments.defaults, arguments.kw_defaults = defaults, keyword_defaults
        return transformed

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self.comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self.comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self.comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self.comprehension(node)

    def comprehension(self, node: Comprehension) -> ast.AST:
        return self.scoped(
            node, set().union(*(bound_by(generator.target) for generator in node.generators))
        )

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name in ("body", "orelse", "finalbody"):
            lines = getattr(node, name, None)
            if isinstance(lines, list):
                remaining = [line for line in lines if not (is_import(line) or is_text(line))]
                setattr(node, name, remaining or ([ast.Pass()] if lines else []))
        return super().generic_visit(node)


def annotation(node: ast.expr | None) -> ast.expr | None:
    """An annotation that is written as a string, parsed to an expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ast.parse(node.value, mode="eval").body
    return node
