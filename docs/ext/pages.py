"""Pages: the order of the book, its front door, and its pictures.

No page carries a table of contents for Sphinx's sake; it is appended when the
page is read: the preface, the chapters by number, the appendices, the annotated source
and the reference, layer by layer. README.html is also the book's index.html. A link to
a folder or a source file, which a code host opens, is plain text in the book.

Invariant: every page is reachable from README, every picture has a text.
"""

import shutil
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging

FRONT = ["preface"]
AFTER_CHAPTERS = ["how-do-we-know"]
APPENDICES = ["setup", "concordance", "defects", "stages", "course", "pitfalls",
              "rfc-conformance", "mutants", "glossary", "bibliography"]  # then any other
LAST = ["README", "figures", "timelines"]  # how the book is made
LAYERS = ["job", "sys", "poller", "coroutine", "scheduler", "channel", "io", "file",
          "server", "http", "mixins", "sim"]
SOURCE = ["README", *LAYERS]  # then any other
log = logging.getLogger(__name__)


def toctree(caption, pages):
    if not pages:
        return ""
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "", "```{toctree}", *options,
                      "", *(f"/{page}" for page in pages), "```", ""])


def contents(known):
    """The parts of the book: captions, and pages in their order."""
    pages = {d.removeprefix("docs/") for d in known
             if d.startswith("docs/") and d.count("/") == 1}
    others = pages - {*FRONT, *AFTER_CHAPTERS, *APPENDICES, *LAST}

    def there(names):
        return [f"docs/{name}" for name in names if name in pages]

    chapters = sorted(d for d in known if d.startswith("chapters/")
                      and d.endswith("/README"))
    layers = [f"docs/reference/{layer}" for layer in LAYERS]
    source = [f"docs/source/{page}" for page in SOURCE]
    source += sorted(d for d in known if d.startswith("docs/source/")
                     and d not in source)
    return [("", there(FRONT)),
            ("Chapters", chapters + there(AFTER_CHAPTERS)),
            ("Appendices", there(APPENDICES) + sorted(f"docs/{n}" for n in others)),
            ("The source, annotated", [d for d in source if d in known]),
            ("Reference", [d for d in layers if d in known]),
            ("The book", there(LAST))]


def append_contents(app, docname, source):
    known = app.env.found_docs
    folder, _, leaf = docname.rpartition("/")
    if docname == "README":
        source[0] += "".join(toctree(*part) for part in contents(known))
    elif folder.startswith("chapters/") and leaf == "README":
        source[0] += toctree("", sorted(
            d for d in known if d.startswith(f"{folder}/") and d != docname))


def look_at_links_and_pictures(app, doctree):
    """Keeps the text of a link to a file that is no page; looks for alt texts."""
    here = Path(doctree["source"]).parent
    for link in list(doctree.findall(addnodes.download_reference)):
        link.replace_self(link.children)
    for link in list(doctree.findall(addnodes.pending_xref)):
        if link.get("reftype") == "myst" and (here / link["reftarget"]).is_dir():
            link.replace_self(link.children)
    for image in doctree.findall(nodes.image):
        if not image.get("alt"):
            log.warning("picture without a text: %s", image["uri"], location=image)


def front_door(app, exception):
    if app.builder.name == "html" and exception is None:
        out = Path(app.outdir)
        shutil.copyfile(out / "README.html", out / "index.html")


def setup(app):
    app.connect("source-read", append_contents)
    # Before Sphinx collects what is to be downloaded.
    app.connect("doctree-read", look_at_links_and_pictures, priority=100)
    app.connect("build-finished", front_door)
    return {"parallel_read_safe": True}
