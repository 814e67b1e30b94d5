#!/usr/bin/env python3
"""All that the chapters tell to read: docs/bibliography.md.

  bibliography.py refresh   gathers it from the "Further reading" of each page
  bibliography.py check     fails if the page is stale

An entry is what stands before the colon there; the sentence behind it says
why one should read it, and stays where it is.
"""

import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PAGE = TOP / "docs" / "bibliography.md"
HEAD = """\
# Bibliography

What the chapters tell to read. Why, and in which order, stands at the end of each.
The sources of facts and figures are named where they are used.

The two that everything here goes back to: Erik Gorset's post of 3 December 2009, and
the library that it describes, the public repository gorset/naglfar.

"""


def pages():
    """Each page with a list, and how to link it from here."""
    for path in sorted((TOP / "chapters").glob("[0-9]*/README.md")):
        folder = path.parent.name
        yield path, f"[{folder[:2]}](../chapters/{folder}/README.md)"
    yield TOP / "docs/how-do-we-know.md", "[How do we know?](how-do-we-know.md)"


def entries(text):
    """What stands before the first colon that is in no title."""
    found = re.search(r"^## Further reading\n(.*?)(?=^## |\Z)", text,
                      re.DOTALL | re.MULTILINE)
    if found is None:
        return
    for item in re.findall(r"^- (.*?)(?=^- |\n\n|\Z)", found[1] + "\n",
                           re.DOTALL | re.MULTILINE):
        item = " ".join(item.split())
        title = False
        for place, letter in enumerate(item):
            title ^= letter == '"'
            if not title and item.startswith(": ", place):
                yield item[:place]
                break


def bibliography():
    where = {}
    for path, link in pages():
        for entry in entries(path.read_text()):
            where.setdefault(entry, []).append(link)
    return HEAD + "".join(f"- {entry}. {', '.join(where[entry])}\n"
                          for entry in sorted(where, key=str.lower))


def main():
    if sys.argv[1:] == ["refresh"]:
        PAGE.write_text(bibliography())
    elif sys.argv[1:] == ["check"]:
        if not PAGE.exists() or PAGE.read_text() != bibliography():
            sys.exit("docs/bibliography.md is stale: make listings")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
