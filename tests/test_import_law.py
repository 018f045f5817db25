"""Which part of the package may know which library, and which other part; and that no imports form a circle."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "connector" / "beam_dynamodb_streams"
MODULES = sorted(PACKAGE.rglob("*.py"))
NAME = "beam_dynamodb_streams"

#: Where a library may be imported: folders or modules, relative to the package.
LIBRARIES = {
    "apache_beam": (
        "beam/",
        "source/",
        "sinks/",
        *(
            f"commands/{name}.py"
            for name in (
                "command_line",
                "options/pipeline_parser",  # once it parses
                "dead_letter_files",
                "exit_codes",
                "export",
                "lakehouse_tables",
                "repair",
                "run_pipeline",
                "handle",
                "on_failure_files",
                "tail",
            )
        ),
        "metrics.py",
        "records/beam_",
        "rows/",
        "lakehouse/",
        "yaml/",
        "progress/commit.py",
        "progress/trail.py",
        "progress/file_store.py",
        "exports/folder.py",
        *(f"handlers/{name}.py" for name in ("invoke", "invoke_bundle", "tumbling", "process_records")),
    ),
    "pyarrow": (
        "records/beam_",
        "records/json_columns.py",
        "records/snapshot_end.py",
        "records/text_columns.py",
        "columns/",
        "rows/",
        "sinks/",
        "lakehouse/",
        "yaml/",
        "commands/schema.py",
        "progress/commit.py",
        "source/elements.py",
        "source/export_rows.py",
        "source/export_snapshot.py",
        "source/transform.py",
        "source/delivered_position.py",
        "source/sample.py",
    ),
    "fastavro": ("columns/", "sinks/"),
    "botocore": ("wire/",),
    "boto3": ("wire/",),
    "urllib3": ("wire/",),
    "h2": ("kinesis/",),
    "h11": ("kinesis/",),
    "cbor2": ("kinesis/",),
    "pyiceberg": ("lakehouse/iceberg.py", "lakehouse/catalogs.py"),
    "deltalake": ("lakehouse/",),
}

#: Modules of Beam's, and names in public ones, that are not public API: known in beam/ alone.
PRIVATE_OF_BEAM = (
    "apache_beam.internal",
    "apache_beam.pipeline.",  # Pipeline itself is a name of `apache_beam`
    "apache_beam.portability",
    "apache_beam.runners",
    "apache_beam.transforms.userstate.is_stateful_dofn",
    "apache_beam.utils.shared",
)

#: What each part may import of the rest of the package. The package's own __init__ is its public surface.
PARTS = {
    "errors": set[str](),
    "durations": {"errors"},
    "display": set[str](),
    "metrics": set[str](),
    "wire": {"errors"},
    "shards": {"errors", "display"},
    "reader": {"errors", "metrics", "shards"},
    "records": {"errors", "display", "wire", "beam"},  # in its coders alone
    "columns": {"errors", "records", "wire"},
    "rows": {"errors", "shards", "records", "columns", "beam"},
    "exports": {"errors", "records"},
    "beam": {"errors"},
    "handlers": {"errors", "durations", "metrics", "records", "beam", "kinesis"},
    "progress": {"errors", "durations", "shards", "records", "beam", "wire"},
    "source": {
        *("errors", "display", "metrics", "wire", "shards", "reader", "records", "columns", "beam", "progress"),
        "durations",
        "exports",
        "handlers",
        "rows",
    },
    "sinks": {
        "errors",
        "durations",
        "records",
        "columns",
        "shards",
        "beam",
    },  # an output says from where its stream is to be read
    "lakehouse": {"errors", "display", "durations", "metrics", "records", "columns", "beam", "sinks"},
    "yaml": {"errors", "beam", "records", "shards", "columns", "rows", "progress", "source", "sinks"},
    "inspection": {"errors", "wire", "shards", "reader", "progress"},
    "kinesis": {"errors", "wire", "shards", "reader", "records", "source"},
    "commands": {
        *("errors", "display", "wire", "shards", "reader", "records", "columns", "progress", "source", "sinks"),
        *("inspection", "exports", "kinesis", "handlers", "beam", "lakehouse", ""),
    },
    "__main__": {"commands"},
    "testing": set[str](),
}


#: What one module may import instead of what its part may.
MODULES_OF_THEIR_OWN = {
    "kinesis/__main__.py": {"commands"},
    # The only modules of the reader that know a service.
    "reader/dynamodb_streams.py": {"errors", "shards", "wire"},
    "reader/kinesis_stream.py": {"errors", "shards", "wire"},
    "reader/table_streams.py": {"errors", "shards", "wire"},
}

#: The modules that know how the envelope of a change is built.
ENVELOPE = ("wire/envelope.py", "wire/kinesis_decode.py", "records/envelope.py", "kinesis/record_data.py")


def imported(module: Path) -> Iterator[str]:
    """Every name that the module imports, dotted, at any depth of its code."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name} imports relatively: write the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def place(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("module", MODULES, ids=place)
def test_each_library_is_known_only_where_it_belongs(module: Path) -> None:
    for name in imported(module):
        allowed = LIBRARIES.get(name.split(".")[0])
        assert allowed is None or place(module).startswith(allowed), f"{place(module)} imports {name}"


@pytest.mark.parametrize("module", [m for m in MODULES if m.parent != PACKAGE or m.stem in PARTS], ids=place)
def test_each_part_imports_only_what_comes_before_it(module: Path) -> None:
    part = place(module).split("/")[0].removesuffix(".py")
    allowed = MODULES_OF_THEIR_OWN.get(place(module), PARTS[part])
    for name in imported(module):
        package, _, rest = name.partition(".")
        if package == NAME:
            below = rest.split(".")[0]
            known = below in PARTS or "" in PARTS[part]
            assert known, f"{place(module)} imports {name} from the public surface"
            assert below in allowed | {part} or below not in PARTS, f"{place(module)} imports {name}"


@pytest.mark.parametrize("module", sorted((PACKAGE / "reader").glob("*.py")), ids=place)
def test_the_reader_knows_no_kind_of_stream(module: Path) -> None:
    kinds = [f"{NAME}.{each.removesuffix('.py').replace('/', '.')}" for each in MODULES_OF_THEIR_OWN]
    assert not [name for name in imported(module) if name.startswith(tuple(kinds))]


@pytest.mark.parametrize("module", [m for m in MODULES if not place(m).startswith(("testing/", *ENVELOPE))], ids=place)
def test_the_envelope_is_reached_into_by_its_own_modules_alone(module: Path) -> None:
    names = {node.attr for node in ast.walk(ast.parse(module.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
    assert not names & {"change", "dynamodb", "eventName", "SequenceNumber", "ApproximateCreationDateTime"}


OUTSIDE_BEAM = [module for module in MODULES if not place(module).startswith("beam/")]


def names_of_beam(tree: ast.Module) -> Iterator[str]:
    """Yield each name of Beam's that a module imports, or reaches through a module of Beam's."""
    local = {"apache_beam": "apache_beam"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "apache_beam":
                    local[alias.asname or "apache_beam"] = alias.name if alias.asname else "apache_beam"
                    yield alias.name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "apache_beam":
            for alias in node.names:
                local[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            if first in local and rest.replace(".", "").isidentifier():
                yield f"{local[first]}.{rest}"


@pytest.mark.parametrize("module", OUTSIDE_BEAM, ids=place)
def test_no_private_name_of_beam_is_known_outside_beam(module: Path) -> None:
    for name in names_of_beam(ast.parse(module.read_text(encoding="utf-8"))):
        assert not f"{name}.".startswith(PRIVATE_OF_BEAM), f"{place(module)} uses {name}: put it into beam/"
        private = [part for part in name.split(".") if part.startswith("_") and not part.startswith("__")]
        assert not private, f"{place(module)} uses {name}: put it into beam/"


def underscored(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Yield each attribute with a leading underscore, and whether it is defined here, and not only used."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, ctx=context):
                yield name, isinstance(context, ast.Store)
            case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name, True
            case ast.Assign(targets=targets):
                yield from ((target.id, True) for target in targets if isinstance(target, ast.Name))
            case ast.Call(func=ast.Name(id="getattr" | "hasattr"), args=[_, ast.Constant(value=str(name)), *_]):
                yield name, False
            case ast.Constant(value=str(name)) if name.isidentifier():  # the name of a slot
                yield name, True


def test_no_attribute_of_beams_objects_with_an_underscore_is_used_outside_beam() -> None:
    """As far as a scan can see: what a module that knows Beam uses of this kind is defined in the package, too."""
    trees = [ast.parse(module.read_text(encoding="utf-8")) for module in OUTSIDE_BEAM]
    defined = {name for tree in trees for name, is_defined in underscored(tree) if is_defined}
    used = {name for tree in trees if any(names_of_beam(tree)) for name, _ in underscored(tree)}
    unknown = {name for name in used - defined if name.startswith("_") and not name.startswith("__")}
    assert unknown == {"_option_string_actions"}, "this one is argparse's"


def test_every_part_is_in_the_law() -> None:
    found = {place(module).split("/")[0].removesuffix(".py") for module in MODULES} - {"__init__"}
    assert found == set(PARTS)


def module_named(name: str) -> str | None:
    """Return the module that holds `name`, a module's name or that of something in it; None if it is not ours."""
    parts = name.split(".")
    if parts[0] != NAME:
        return None
    while parts:
        path = PACKAGE.joinpath(*parts[1:])
        if path.with_suffix(".py").exists() and len(parts) > 1:
            return ".".join(parts)
        if (path / "__init__.py").exists():
            return ".".join(parts)
        parts.pop()
    return None


def test_no_imports_form_a_circle() -> None:
    """Imports inside functions count too."""
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        own = ".".join([NAME, *module.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
        graph[own] = {found for name in imported(module) if (found := module_named(name)) and found != own}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" imports ".join(reversed(circle.args[1])))


@pytest.mark.parametrize("module", sorted((PACKAGE / "inspection").glob("*.py")), ids=place)
def test_values_for_notebooks_neither_parse_arguments_nor_print(module: Path) -> None:
    assert not {"argparse", "sys", "rich"} & {name.split(".")[0] for name in imported(module)}
    calls = [node.func for node in ast.walk(ast.parse(module.read_text("utf-8"))) if isinstance(node, ast.Call)]
    assert "print" not in {function.id for function in calls if isinstance(function, ast.Name)}


def test_the_program_imports_nothing_but_the_standard_library_before_a_command_runs() -> None:
    """Or `--help` would wait for Beam."""
    for module in (PACKAGE / "commands" / "__init__.py", PACKAGE / "__main__.py", PACKAGE / "errors.py"):
        for name in imported(module):
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names or name in (f"{NAME}.commands.main",), (
                f"{place(module)} imports {name}"
            )


@pytest.mark.parametrize("module", sorted((PACKAGE / "commands" / "options").glob("*.py")), ids=place)
def test_the_options_of_a_command_need_neither_beam_nor_the_command(module: Path) -> None:
    """Or `--help` and the completion of a shell would wait for Beam. The part that parses with Beam's options may."""
    light = tuple(f"{NAME}.{each}" for each in ("commands.options", "commands.printable", "errors", "shards", "reader"))
    for name in imported(module):
        assert name.split(".")[0] in sys.stdlib_module_names or name.startswith((*light, "apache_beam.options")), name


ROOT = PACKAGE.parents[1]

#: What Python 3.10 lacks. `typing_extensions` has the names of `typing`, and `timezone.utc` is `datetime.UTC`.
NEWER_THAN_3_10 = {
    "asyncio": {"Runner", "TaskGroup", "timeout"},
    "contextlib": {"chdir"},
    "datetime": {"UTC"},
    "enum": {"StrEnum", "verify"},
    "logging": {"getLevelNamesMapping"},
    "typing": {
        *("LiteralString", "Never", "NotRequired", "Required", "Self", "TypeVarTuple", "Unpack"),
        *("assert_never", "assert_type", "dataclass_transform", "override", "reveal_type"),
    },
}


@pytest.mark.parametrize("folder", ["connector", "pipelines", "runners", "benchmarks", "docs", "tests"])
def test_nothing_uses_what_python_3_10_lacks(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for module, name in _names_used(ast.parse(path.read_text(), feature_version=(3, 10)))
        if name in NEWER_THAN_3_10.get(module, ())
    ]
    assert found == []


def _names_used(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each name with the module that it is imported from, or of which it is an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr
