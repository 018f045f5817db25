"""The main figures of `README.md` as a picture beside it: `python -m benchmarks.picture` (extra `notebooks`)."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

HERE = Path(__file__).parent


def table(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table under a heading, without the header."""
    lines = text.partition(f"## {heading}\n")[2].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def number(cell: str) -> float:
    return float(cell.replace(",", ""))


def draw(to: Path = HERE / "figures.svg") -> None:
    text = (HERE / "README.md").read_text()
    mpl.rcParams["svg.hashsalt"] = "figures"  # the same figures give the same bytes
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    bars = [
        ("A page of 1,000 changes: × orjson.loads", table(text, "From bytes to values and columns"), 2),
        ("A whole export: CPU µs a change", table(text, "A whole export"), 1),
        (
            "Idle shards: % of a core",
            [[f"{row[0]} shards", row[4]] for row in table(text, "What shards cost") if row[1] == "idle"],
            1,
        ),
    ]
    for axis, (title, rows, column) in zip(axes, bars, strict=True):
        names = [row[0] for row in rows]
        values = [number(row[column]) for row in rows]
        colours = ["#b0b0b0" if name.startswith(("orjson", "boto3", "Go ", "Rust ")) else "#2b7bba" for name in names]
        axis.bar_label(axis.barh(names, values, color=colours), fmt="{:,.3g}", padding=3)
        axis.invert_yaxis()
        axis.set_title(title, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.15)
    figure.savefig(to, metadata={"Date": None})


if __name__ == "__main__":
    draw()
