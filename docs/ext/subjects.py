"""The index has subjects: the words of the glossary, and where the book uses
them.

A word is indexed where it is explained, and wherever a page links to its
explanation. So nobody keeps a list.

Invariant: every word of the glossary is in the index.
"""

import re
from itertools import count

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

GLOSSARY = "docs/glossary"


def anchor(title):
    """What a code host, and so the book, makes of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def entry(subject, identity, kind=""):
    return addnodes.index(entries=[("single", subject, identity, kind, None)])


class IndexSubjects(SphinxTransform):
    default_priority = 800  # before the domains look at the page

    def apply(self):
        words = self.words()
        if self.env.docname == GLOSSARY:
            for section in self.document.findall(nodes.section):
                title = section.next_node(nodes.title)
                if anchor(title.astext()) in words:
                    section.insert(1, entry(title.astext(), section["ids"][0], "main"))
            return
        number = count()
        for link in list(self.document.findall(addnodes.pending_xref)):
            page, _, target = link["reftarget"].partition("#")
            target = target or link.get("reftargetid") or ""
            if page.removesuffix(".md").endswith("glossary") and target in words:
                identity = f"subject-{next(number)}"
                place = link.parent.index(link)
                link.parent.insert(place, [
                    entry(words[target], identity),
                    nodes.target("", "", ids=[identity])])

    def words(self):
        text = open(self.env.doc2path(GLOSSARY), encoding="utf-8").read()
        return {anchor(title): title
                for title in re.findall(r"^### (.+)$", text, re.M)}


def setup(app):
    app.add_transform(IndexSubjects)
    return {"parallel_read_safe": True}
