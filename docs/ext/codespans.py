"""Code spans: `Poller::wait` in a sentence is a link, and must exist.

A code span that names a documented entity becomes a link to its reference.
Names are taken as they are written, with or without `naglfar::`, arguments
and template arguments left off. A span that names nothing known is left alone.

Invariant: a span `Class::member` whose class is known names a member that the
class, or one of its bases, has.
"""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

NAMESPACE = "naglfar::"
NAME = re.compile(r"~?[A-Za-z_]\w*(::~?[A-Za-z_]\w*)*")
log = logging.getLogger(__name__)


def plain(name):
    """A name without the namespace and without template arguments."""
    before = None
    while before != name:
        before, name = name, re.sub(r"<[^<>]*>", "", name)
    return name.strip().removeprefix(NAMESPACE)


class Class:
    """A class as Doxygen saw it, private members and bases included."""

    def __init__(self, compound):
        self.bases = [plain(base.text) for base in compound.iter("basecompoundref")]
        self.members = {inner.text.rpartition("::")[2]
                        for inner in compound.iter("innerclass")}
        for entity in [*compound.iter("memberdef"), *compound.iter("enumvalue")]:
            self.members.add(entity.findtext("name"))


def classes(xml):
    """Every class that Doxygen saw, by its plain name."""
    found = {}
    for file in sorted(Path(xml).glob("*.xml")):
        if re.match(r"class|struct|union", file.name):
            compound = ET.parse(file).find("compounddef")
            found[plain(compound.findtext("compoundname"))] = Class(compound)
    return found


def template_parameters(xml):
    """The names of all template parameters: `class Handler` and `class... Args`."""
    found = set()
    for file in Path(xml).glob("*.xml"):
        for parameter in ET.parse(file).iterfind(".//templateparamlist/param"):
            kind = "".join(parameter.find("type").itertext())
            found |= set(re.findall(r"\w+", parameter.findtext("declname", kind)))
    return found - {"class", "typename"}


def entities(env):
    """Documented C++ entities: plain name -> (page, anchor)."""
    found = {}
    for name, _, _, docname, identity, _ in env.get_domain("cpp").get_objects():
        # Concepts and templates may come with their parameters in front.
        found.setdefault(plain(re.sub(r"^template\s*<.*?>\s*", "", name)),
                         (docname, identity))
    return found


class Names:
    """What spans may name: known classes and documented entities."""

    def __init__(self, app):
        xml = app.config.breathe_projects["naglfar"]
        self.classes = classes(xml) if xml else {}
        self.parameters = template_parameters(xml) if xml else set()
        self.entities = entities(app.env)
        # A class of the namespace below, sys::Fd say, is also known as Fd.
        for table in (self.classes, self.entities):
            for name in list(table):
                space, _, rest = name.partition("::")
                if space and space not in self.classes and (
                        f"{space}::{rest.split('::')[0]}" in self.classes):
                    table.setdefault(rest, table[name])

    @classmethod
    def of(cls, app):
        if not hasattr(app, "_naglfar_names"):
            app._naglfar_names = cls(app)
        return app._naglfar_names

    def reference(self, app, docname, name, content):
        """A link to what is called `name`, or None."""
        if name not in self.entities:
            return None
        return make_refnode(app.builder, docname, *self.entities[name], content)

    def lacks(self, name):
        """True if `name` is a member that its known class does not have."""
        owner, _, member = name.rpartition("::")
        return owner in self.classes and not self.has(owner, member)

    def has(self, owner, member):
        known = self.classes.get(owner)
        # Nothing is said about a base from elsewhere, std::runtime_error say.
        return known is None or member in known.members or any(
            self.has(base, member) for base in known.bases)


class LinkCodeSpans(SphinxPostTransform):
    default_priority = 5

    def run(self):
        names = Names.of(self.app)
        for span in list(self.document.findall(nodes.literal)):
            name = plain(re.sub(r"\(.*\)$", "", span.astext()))
            if not NAME.fullmatch(name) or not self.is_prose(span):
                continue
            link = names.reference(self.app, self.env.docname, name, span.deepcopy())
            if link:
                span.replace_self(link)
            elif names.lacks(name):
                log.warning("`%s` names no member of its class", span.astext(),
                            location=span, type="codespans")

    @staticmethod
    def is_prose(span):
        if not isinstance(span.next_node(), nodes.Text):
            return False  # Doxygen has linked it
        node = span.parent
        while node:
            if isinstance(node, (nodes.title, nodes.reference, addnodes.pending_xref,
                                 addnodes.desc_signature)):
                return False
            node = node.parent
        return "xref" not in span["classes"]


def name_in_signature(app, env, node, content):
    """Finds what Sphinx does not: a class template's name in its own scope.
    A template parameter is no link and no error."""
    if node.get("refdomain") != "cpp":
        return None
    names = Names.of(app)
    if node["reftarget"].partition("::")[0] in names.parameters:
        return content
    return names.reference(app, node["refdoc"], plain(node["reftarget"]), content)


def setup(app):
    app.add_post_transform(LinkCodeSpans)
    app.connect("missing-reference", name_in_signature)
    return {"parallel_read_safe": True}
