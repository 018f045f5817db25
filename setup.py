"""All metadata is in pyproject.toml, except the long description. Beam, too, needs a file here (`--setup_file`).

The long description is README with absolute links, because PyPI shows it away from the repository.
"""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
_LINK = re.compile(r"\]\((?![a-z]+:)([^)\s]+)\)")
_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def long_description() -> str:
    """Return README with links to the files of this version in the repository."""
    project = (HERE / "pyproject.toml").read_text("utf-8")
    (source,) = re.findall(r'^Source = "([^"]+)"$', project, re.MULTILINE)
    (version,) = re.findall(r'^version = "([^"]+)"$', project, re.MULTILINE)

    def absolute(link: re.Match[str]) -> str:
        target = f"README.md{link[1]}" if link[1].startswith("#") else link[1]
        return f"]({source}/blob/v{version}/{target})"

    parts = _FENCED.split((HERE / "README.md").read_text("utf-8"))
    return "".join(part if part.startswith("```") else _LINK.sub(absolute, part) for part in parts)


if __name__ == "__main__":
    setup(
        long_description=long_description(),
        long_description_content_type="text/markdown",
        license="Apache-2.0",
        license_expression="Apache-2.0",
    )
