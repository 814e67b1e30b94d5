#!/usr/bin/env python3
"""Figures: drawn by hand as SVG, in one visual language (docs/figures.md).

A figure cannot reach a style sheet outside itself when it is shown as a
picture. So each carries docs/figures.css, and this tool puts it there.

  figures.py refresh   writes the style into every figure
  figures.py check     prints what breaks the rules

Invariant: what a figure looks like is decided in one place. It has classes,
and no colours, fonts or line widths of its own.
"""

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
FIGURES = ["chapters/*/figures/*.svg", "docs/figures/*.svg"]
WIDTH = 480  # units; on a phone they become about 350 pixels
SVG = "{http://www.w3.org/2000/svg}"
STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
OWN = {"style", "fill", "stroke", "stroke-width", "stroke-dasharray", "color",
       "opacity", "font", "font-size", "font-family", "font-weight"}


def figures(top=TOP):
    return sorted(path for pattern in FIGURES for path in top.glob(pattern))


def styled(text, css):
    """The figure with the style of all figures in it."""
    indented = "".join(f"    {line}\n" if line else "\n"
                       for line in css.splitlines())
    return STYLE.sub(lambda _: f"<style>\n{indented}  </style>", text, count=1)


def problems(path, css):
    """What breaks the rules in one figure."""
    text = path.read_text()
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        return [f"no SVG: {error}"]
    found = []
    if styled(text, css) != text or "<style>" not in text:
        found.append("its style is not docs/figures.css (`make listings`)")
    box = root.get("viewBox", "").split()
    if len(box) != 4 or float(box[2]) > WIDTH:
        found.append(f"its viewBox is missing, or wider than {WIDTH}")
    elif [root.get("width"), root.get("height")] != box[2:]:
        found.append("width and height are not those of the viewBox")
    title = root.find(f"{SVG}title")
    if title is None or not (title.text or "").strip():
        found.append("it has no title")
    rect = root.find(f"{SVG}rect")
    if rect is None or rect.get("class") != "sheet":
        found.append("it has no sheet: a first rect of that class")
    classes = set(re.findall(r"\.([\w-]+)", css))
    for node in root.iter():
        own = OWN & set(node.attrib)
        if own:
            found.append(f"{node.tag.removeprefix(SVG)} has its own "
                         f"{', '.join(sorted(own))}")
        unknown = set(node.get("class", "").split()) - classes
        if unknown:
            found.append(f"no class {', '.join(sorted(unknown))} in the style")
    return found


def main():
    css = (TOP / "docs/figures.css").read_text()
    if sys.argv[1:] == ["refresh"]:
        for path in figures():
            text = path.read_text()
            if styled(text, css) != text:
                path.write_text(styled(text, css))
                print(f"refreshed {path.relative_to(TOP)}")
    elif sys.argv[1:] == ["check"]:
        found = [f"{path.relative_to(TOP)}: {problem}" for path in figures()
                 for problem in problems(path, css)]
        print(*found, sep="\n", end="\n" if found else "")
        sys.exit(1 if found else 0)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
