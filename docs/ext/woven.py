"""Woven: listings in the book, checked and linked.

The pages carry the code in their fences (see docs/listings.py). A page that
is read has its listing fences turned into a directive, which adds a caption
that names the file; the line that stands for an inner region becomes a link
to that region's own listing. In the listing of a step, new lines have a bar in the
margin, and the others are grey.

Invariant: a problem that `listings.py check` reports is a warning here, so a
build with -W fails on it.
"""

import html
import itertools
import re

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import listings

log = logging.getLogger(__name__)
book = None  # what listings.py says; read anew for each build


class Code(nodes.literal_block):
    """A listing's code. Builders other than HTML see a literal block."""


class Link(nodes.inline):
    """A link to the listing of `target`, if the book has one."""


def anchor(target):
    return nodes.make_id("listing-" + target)


def check(app):
    global book
    book = listings.Book(app.srcdir)
    for problem in book.problems:
        log.warning(problem.message, location=f"{problem.path}:{problem.line}",
                    type="listings")


def fences_to_directives(app, docname, source):
    lines = source[0].split("\n")
    for fence in listings.fences(lines):
        info = listings.INFO.fullmatch(fence.info)
        if info and info[2] in ("file", "step"):
            directive = {"file": "listing", "step": "step"}[info[2]]
            lines[fence.start] = (f"{fence.indent}{fence.ticks}"
                                  f"{{{directive}}} {info[1]} {info[3]}")
    source[0] = "\n".join(lines)


class Listing(SphinxDirective):
    """`{listing} LANGUAGE FILE#REGION`, with the code in its body."""

    required_arguments = 2
    has_content = True

    def run(self):
        language, target = self.arguments
        path, _, name = target.partition("#")
        code = Code("\n".join(self.content), "\n".join(self.content),
                    language=language, path=path, links={})
        source = book.source(path)
        region = source and source.regions.get(name)
        caption = nodes.paragraph("", "", nodes.Text(path), classes=["caption"])
        if region and region.outer:
            caption += [nodes.Text(" \N{MIDDLE DOT} "), nodes.strong(name, name)]
            caption += [nodes.Text(", in "),
                        Link("", region.outer.name or "the file",
                             target=region.outer.target)]
        if region:
            # For each line that stands for a region, the region's target.
            code["links"] = {listings.see(inner.comment, inner.name): inner.target
                             for inner in region.inner()}
        box = nodes.container("", caption, code, classes=["listing"],
                              ids=[anchor(target)])
        self.set_source_info(box)
        self.set_source_info(code)
        return [box]


class Step(SphinxDirective):
    """`{step} LANGUAGE CHAPTER/STEP`, with the code in its body."""

    required_arguments = 2
    has_content = True

    def run(self):
        language, target = self.arguments
        try:
            files = book.chapters.code(target)
        except listings.grown.Unknown:  # `check` has warned
            files = {}
        text = "\n".join(self.content)
        lines = [line for lines in files.values() for line in lines]
        code = Code(text, text, language=language, links={},
                    kinds=["new" if line.kind == "new" else "old"
                           for line in lines])
        caption = nodes.paragraph(
            "", "", nodes.Text(", ".join(files) + " \N{MIDDLE DOT} "),
            nodes.strong("", f"step {target.partition('/')[2]}"),
            classes=["caption"])
        box = nodes.container("", caption, code, classes=["listing", "step"],
                              ids=[nodes.make_id("step-" + target)])
        self.set_source_info(box)
        self.set_source_info(code)
        return [box]


def uri(app, docname, target):
    """The address of the listing of `target`, seen from `docname`, or None."""
    path, _, name = target.partition("#")
    place = book.shown.get((path, name))
    if place is None:
        return None
    page = app.env.path2doc(str(book.root / place.page))
    there = "" if page == docname else app.builder.get_relative_uri(docname, page)
    return f"{there}#{anchor(target)}"


def resolve(app, doctree, docname):
    for code in doctree.findall(Code):
        code["links"] = {line: uri(app, docname, target)
                         for line, target in code["links"].items()}
    for link in list(doctree.findall(Link)):
        address = uri(app, docname, link["target"])
        link.replace_self(nodes.reference("", link.astext(), internal=True,
                                          refuri=address)
                          if address else nodes.Text(link.astext()))


def visit_code(self, node):
    """Highlights as for any block, then puts the links in."""
    text = self.highlighter.highlight_block(
        node.rawsource, node["language"], location=node)
    for line, address in node["links"].items():
        if address:
            words = html.escape(line).replace("&#x27;", "&#39;")
            text = re.sub(
                rf"(<span[^>]*>)?{re.escape(words)}(</span>)?",
                lambda m: f'<a class="see" href="{html.escape(address)}">'
                          f"{m[0]}</a>", text, count=1)
    if node.get("kinds"):
        text = with_kinds(text, node["kinds"])
    self.body.append(text)
    raise nodes.SkipNode


def with_kinds(text, kinds):
    """Highlighted code with its lines marked as new or old."""
    begin, end = text.index("<pre>") + 5, text.rindex("</pre>")
    lines = [f'<span class="{kind}">{line}</span>' if line else ""
             for line, kind in itertools.zip_longest(
                 text[begin:end].split("\n"), kinds, fillvalue="")]
    return text[:begin] + "\n".join(lines) + text[end:]


def setup(app):
    app.add_node(Code, html=(visit_code, None))
    app.add_node(Link)
    app.add_directive("listing", Listing)
    app.add_directive("step", Step)
    app.connect("builder-inited", check)
    app.connect("source-read", fences_to_directives)
    app.connect("doctree-resolved", resolve)
    return {"parallel_read_safe": True}
