"""Reference: one page for each Doxygen group, woven by Breathe.

Doxygen leaves the namespace out of the names in a group, and Breathe would
then file `naglfar::sys::read` under `read`. So the names in the group files
are made whole before Breathe reads them.

Beside each signature stands a link to the listing of its declaration, in the
annotated source.

Invariant: every entity of the namespace is in one group, so every public
declaration has one place in the reference; and every declaration has its
listing.
"""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging

import woven

log = logging.getLogger(__name__)


def compounds(xml):
    """Doxygen's files with their one compound, without the index."""
    for file in sorted(Path(xml).glob("*.xml")):
        tree = ET.parse(file)
        if tree.find("compounddef") is not None:
            yield file, tree, tree.find("compounddef")


def make_names_whole(app):
    found = list(compounds(app.config.breathe_projects["naglfar"]))
    classes = {compound.findtext("compoundname") for _, _, compound in found
               if compound.get("kind") in ("class", "struct", "union")}
    for file, tree, compound in found:
        if compound.get("kind") != "group":
            continue
        for inner in compound.findall("innerclass"):
            if inner.text.rpartition("::")[0] in classes:
                compound.remove(inner)  # its class shows it
        for section in compound.findall("sectiondef"):
            if section.get("kind") == "define":
                compound.remove(section)  # no program may use our macros
                continue
            for member in section.findall("memberdef"):
                name = member.findtext("qualifiedname")
                if name.rpartition("::")[0] in classes:
                    section.remove(member)  # so too
                else:
                    member.find("name").text = name
        tree.write(file, encoding="utf-8", xml_declaration=True)


def everything_is_in_a_group(app, env):
    found = [c for _, _, c in compounds(app.config.breathe_projects["naglfar"])]
    grouped = {inner.get("refid") for c in found if c.get("kind") == "group"
               for inner in c.findall("innerclass")}
    for compound in found:
        if compound.get("kind") != "namespace":
            continue
        for entity in [*compound.findall("innerclass"), *compound.iter("memberdef")]:
            name = entity.text if entity.tag == "innerclass" else (
                entity.findtext("qualifiedname"))
            identity = entity.get("refid") or entity.get("id")
            if identity not in grouped and not identity.startswith("group__"):
                log.warning("%s is in no group of docs/reference", name,
                            type="reference")


def declared(xml):
    """Where each entity is declared: Doxygen's name for it -> (file, line)."""
    found = {}
    for _, _, compound in compounds(xml):
        for entity in [compound, *compound.iter("memberdef")]:
            place = entity.find("location")
            if place is not None and place.get("line"):
                found[entity.get("id")] = (place.get("file"), int(place.get("line")))
    return found


def innermost(region, line):
    """The region that the line of the source is in, itself or one inside."""
    for inner in region.inner():
        if inner.line < line <= inner.line + height(inner):
            return innermost(inner, line)
    return region


def height(region):
    """How many lines it has, with the markers inside it."""
    return sum(1 if isinstance(item, str) else height(item) + 2
               for item in region.items)


def link_sources(app, doctree):
    """Puts beside each signature a link to the listing that declares it."""
    if not app.env.docname.startswith("docs/reference/"):
        return
    places = declared(app.config.breathe_projects["naglfar"])
    for signature in doctree.findall(addnodes.desc_signature):
        names = [i for target in signature.findall(nodes.target)
                 for i in target["ids"] if i in places]
        if not names:
            continue  # an enumerator: its enumeration says it
        file, line = places[names[0]]
        source = woven.book.source(file)
        region = innermost(source.regions[""], line)
        shown = woven.book.shown.get((file, region.name))
        if shown is None:
            log.warning("%s:%s: no page shows this", file, line, type="reference")
            continue
        link = woven.Link("", "source", target=region.target)
        # A signature of several lines has no text of its own.
        first = next(signature.findall(addnodes.desc_signature_line), signature)
        first.insert(0, [nodes.inline("", "", link, classes=["source"]),
                         nodes.Text(" ")])


def tidy(app, doctree):
    """Two habits of Breathe and Sphinx that a reader would notice."""
    # The titles inside classes all get the same few ids, which EPUB forbids.
    for title in doctree.findall(nodes.rubric):
        title["ids"] = [i for i in title["ids"] if not i.startswith("breathe-")]
    # A parameter's name is followed by --, in the hope of smart quotes.
    for field in doctree.findall(nodes.field_body):
        for text in list(field.findall(nodes.Text)):
            if text == " -- ":
                text.parent.replace(text, nodes.Text(" \N{EN DASH} "))


def setup(app):
    app.connect("builder-inited", make_names_whole)
    app.connect("doctree-read", tidy)
    app.connect("doctree-read", link_sources)
    app.connect("env-check-consistency", everything_is_in_a_group)
    return {"parallel_read_safe": True}
