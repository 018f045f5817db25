"""The documentation as a site, with search: `python -m docs.site DIRECTORY`.

README and the pages, made by mkdocs (`make docs` sets it up in .build/site), and the API reference in `api/`. Links
between pages stay links of the site; a link to any other file of the repository leads to its source there.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from docs.reference import build as build_reference

ROOT: Final = Path(__file__).parents[1]
MKDOCS: Final = ROOT / ".build" / "site" / "bin" / "mkdocs"

#: The pages by what a reader wants. A page of docs/ that is not here comes last, under "More".
SECTIONS: Final = {
    "Start": ("README.md",),
    "Write and query": (
        *("docs/files.md", "docs/schemas.md", "docs/whole-table.md", "docs/exports.md", "docs/databases.md"),
        *("docs/lakehouse.md", "docs/debezium.md", "docs/yaml.md"),
    ),
    "Run": (
        *("docs/deployment.md", "docs/flink.md", "docs/dataflow.md", "docs/scaling.md", "docs/progress.md"),
        *("docs/watermarks.md", "docs/data-loss.md", "docs/metrics.md", "docs/errors.md"),
    ),
    "Test": ("docs/testing-your-pipeline.md",),
    "Come from elsewhere": (
        *("docs/from-kcl.md", "docs/coming-from-lambda.md", "docs/kinesis.md", "docs/kinesis-data-streams.md"),
    ),
    "The project": ("docs/guarantees.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/releasing.md"),
}
#: Names of headings as GitHub makes them. Only YAML's own tag can give mkdocs a function.
_SLUGIFY: Final = "!!python/object/apply:pymdownx.slugs.slugify {kwds: {case: lower}}"
_FENCED: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\((?![a-z]+:|#)([^)\s]+)\)")


def pages() -> dict[str, str]:
    """Return the path in the site of each page, by its path in the repository, in the order of the sections."""
    named = [page for section in SECTIONS.values() for page in section if (ROOT / page).exists()]
    rest = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md") if f"docs/{path.name}" not in named)
    return {page: "index.md" if page == "README.md" else Path(page).name.lower() for page in [*named, *rest]}


def prepare(directory: Path) -> Path:
    """Write what mkdocs reads, and return its configuration."""
    source = directory / "pages"
    source.mkdir(parents=True)
    known = pages()
    for page, target in known.items():
        (source / target).write_text(_for_the_site(page, known), "utf-8")
    config = directory / "mkdocs.yml"
    text = yaml.safe_dump(_config(known), sort_keys=False).replace("slugify: github", f"slugify: {_SLUGIFY}")
    config.write_text(text, "utf-8")
    return config


def build(directory: Path) -> None:
    """Build the site. Without mkdocs, build the API reference alone, and say so."""
    shutil.rmtree(directory, ignore_errors=True)
    if MKDOCS.exists():
        with tempfile.TemporaryDirectory() as made:
            config = prepare(Path(made))
            command = [str(MKDOCS), "build", "--quiet", "--strict", "-f", str(config), "-d", str(directory.absolute())]
            environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
            subprocess.run(command, check=True, env=environment)  # noqa: S603 - our own tool
    else:
        print("NOT BUILT: the pages, because mkdocs is not in .build/site; this is the API reference alone")
    build_reference(directory / "api")


def _config(known: dict[str, str]) -> dict[str, Any]:
    urls = _urls()
    sections = [{name: [known[page] for page in section if page in known]} for name, section in SECTIONS.items()]
    named = {page for section in SECTIONS.values() for page in section}
    if more := [target for page, target in known.items() if page not in named]:
        sections.append({"More": more})
    return {
        "site_name": "beam-dynamodb-streams",
        "site_url": urls["Documentation"],
        "repo_url": urls["Source"],
        "docs_dir": "pages",
        "nav": [*sections, {"API reference": f"{urls['Documentation']}api/beam_dynamodb_streams.html"}],
        "theme": {
            "name": "material",
            "font": False,  # nothing is fetched from elsewhere
            "features": ["content.code.copy", "navigation.sections", "navigation.top", "search.highlight"],
        },
        "plugins": ["search"],
        "markdown_extensions": [
            "tables",
            {"toc": {"permalink": True, "slugify": "github"}},
            "pymdownx.highlight",
            "pymdownx.superfences",
        ],
        "validation": {"links": {"not_found": "warn", "anchors": "warn"}},
    }


def _for_the_site(page: str, known: dict[str, str]) -> str:
    parts = _FENCED.split((ROOT / page).read_text("utf-8"))
    return "".join(part if part.startswith("```") else "".join(_prose(part, page, known)) for part in parts)


def _prose(text: str, page: str, known: dict[str, str]) -> Iterator[str]:
    def linked(link: re.Match[str]) -> str:
        path, _, anchor = link[1].partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        place = known.get(target, f"{_urls()['Source']}/blob/main/{target}")
        return f"]({place}#{anchor})" if anchor else f"]({place})"

    # GitHub begins a list without an empty line before it; mkdocs does not.
    before = ""
    for line in _LINK.sub(linked, text).splitlines(keepends=True):
        is_item = re.match(r"(?:[-*]|\d+\.) ", line)
        if is_item and before.strip() and not re.match(r"\s|[-*|#]|\d+\.", before):
            yield "\n"
        yield line
        before = line


def _urls() -> dict[str, str]:
    """Return the addresses in pyproject.toml."""
    section = (ROOT / "pyproject.toml").read_text("utf-8").partition("[project.urls]\n")[2].partition("\n\n")[0]
    return dict(re.findall(r'^(\w+) = "([^"]+)"$', section, re.MULTILINE))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
    print(f"{sys.argv[1]}/index.html")
