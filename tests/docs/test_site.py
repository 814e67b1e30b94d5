"""The book as it is read: its words, its links, its colours, its pages.

Run: python3 tests/docs/test_site.py [BUILD_DIR], after `docs/build.sh BUILD_DIR
html epub`. Most checks are a function that yields what is wrong; beside it a test
plants such a mistake and sees that it is found.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

sys.dont_write_bytecode = True
TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "docs"), str(TOP / "tests/docs")]

import browser  # noqa: E402
import listings  # noqa: E402

BUILD = Path(sys.argv.pop() if Path(sys.argv[-1]).is_dir() else TOP / "build").resolve()
HTML = BUILD / "docs/html"
EPUB = BUILD / "docs/epub/naglfar.epub"
WIDTH = 78  # columns of a listing
WIDER = 90  # of what a program printed: it is not cut


def sources():
    """The book's pages, as they are written."""
    return sorted(p for pattern in listings.PAGES for p in TOP.glob(pattern))


def pages():
    return sorted(p for p in HTML.rglob("*.html") if "_static" not in p.parts)


# ---- Words -----------------------------------------------------------------

# What is meant twice.
TWICE = {"that that", "had had", "long long", "curl curl"}


def prose(text):
    """The text with its fences blank, so that lines keep their numbers."""
    lines = text.split("\n")
    for fence in listings.fences(lines):
        lines[fence.start:fence.end + 1] = [""] * (fence.end + 1 - fence.start)
    return re.sub(r"`[^`]*`", lambda m: "`" + "\n" * m[0].count("\n"),
                  "\n".join(lines))


def doubled_words(text):
    text = prose(text)
    for found in re.finditer(r"\b([A-Za-z]+)[ \t]*[ \n][ \t]*\1\b(?![-'])", text):
        words = " ".join(found[0].split())
        if words not in TWICE:
            yield f"line {text.count(chr(10), 0, found.start()) + 1}: {words}"


def misspelt(paths):
    done = subprocess.run(
        ["codespell", "--ignore-words", TOP / "docs/words.txt", *paths],
        capture_output=True, text=True)
    if done.stderr:
        yield done.stderr
    yield from done.stdout.splitlines()


def wide_listings(text):
    """Lines of listings that would not fit on the page."""
    lines = text.split("\n")
    for fence in listings.fences(lines):
        printed = fence.info.startswith("text")
        for number in range(fence.start + 1, fence.end):
            if len(lines[number]) > (WIDER if printed else WIDTH):
                yield f"line {number + 1}: {len(lines[number])} columns"


class Words(unittest.TestCase):
    def test_no_word_is_doubled(self):
        for path in sources():
            with self.subTest(path.relative_to(TOP)):
                self.assertEqual(list(doubled_words(path.read_text())), [])

    def test_a_doubled_word_is_found(self):
        self.assertEqual(list(doubled_words("It\nis the\nthe poller.")),
                         ["line 2: the the"])
        self.assertEqual(list(doubled_words("```\nthe the\n```\nthe `x x` end")), [])

    @unittest.skipUnless(shutil.which("codespell"), "there is no codespell")
    def test_spelling(self):
        self.assertEqual(list(misspelt(sources())), [])

    @unittest.skipUnless(shutil.which("codespell"), "there is no codespell")
    def test_a_misspelt_word_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.md"
            page.write_text("They recieve it.\n")
            self.assertEqual(len(list(misspelt([page]))), 1)

    def test_listings_are_narrow(self):
        for path in sources():
            with self.subTest(path.relative_to(TOP)):
                self.assertEqual(list(wide_listings(path.read_text())), [])

    def test_a_wide_listing_is_found(self):
        self.assertEqual(list(wide_listings(f"```\n{'x' * 79}\n```")),
                         ["line 2: 79 columns"])


# ---- Links and pictures ----------------------------------------------------


class Page(HTMLParser):
    """What a page links to, the anchors that it has, and its pictures."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.anchors, self.twice = [], [], set(), []
        self.pictures = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        has = dict(attributes)
        for name in {has.get("id"), has.get("name") if tag == "a" else None}:
            if name and name in self.anchors:
                self.twice.append(name)
            if name:
                self.anchors.add(name)
        if tag == "a" and "href" in has:
            self.links.append(has["href"])
        elif tag == "link" and has.get("rel") == "stylesheet":
            self.loads.append(has["href"])
        elif tag in ("script", "img", "iframe", "source") and "src" in has:
            self.loads.append(has["src"])
        if tag == "img":
            self.pictures.append((has.get("src"), has.get("alt") or ""))


def dead_links(folder):
    """What leads nowhere, in all pages of a folder; and what is loaded from
    another host."""
    folder = folder.resolve()
    found = {p: Page(p.read_text()) for p in sorted(folder.rglob("*.html"))
             if "_static" not in p.parts}
    for path, page in found.items():
        name = path.relative_to(folder)
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loads and parts.scheme != "data":
                    yield f"{name}: loads {link}"
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.is_file():
                yield f"{name}: {link}"
            elif there in found and parts.fragment and (
                    unquote(parts.fragment) not in found[there].anchors):
                yield f"{name}: {link}: no such anchor"
        for anchor in page.twice:
            yield f"{name}: the anchor {anchor} is there twice"


def pictures_without_words(text):
    """Pictures whose text says less than three words."""
    return [src for src, alt in Page(text).pictures if len(alt.split()) < 3]


class Links(unittest.TestCase):
    def test_all_lead_somewhere(self):
        self.assertGreater(len(pages()), 20)
        self.assertEqual(list(dead_links(HTML)), [])

    def test_dead_ones_are_found(self):
        with tempfile.TemporaryDirectory() as folder:
            a, b = Path(folder) / "a.html", Path(folder) / "b.html"
            a.write_text('<p id="x"></p><p id="x"></p><a href="b.html#y">1</a>'
                         '<a href="c.html">2</a><a href="#x">3</a>'
                         '<a href="https://example.org/">4</a>'
                         '<img src="https://example.org/p.png" alt="">')
            b.write_text('<a href="a.html#x">1</a>')
            self.assertEqual(list(dead_links(Path(folder))), [
                "a.html: b.html#y: no such anchor", "a.html: c.html",
                "a.html: loads https://example.org/p.png",
                "a.html: the anchor x is there twice"])

    def test_each_word_of_the_glossary_is_in_the_index(self):
        index = (HTML / "genindex.html").read_text()
        linked = re.findall(r'href="docs/glossary\.html#([\w-]+)"><strong>', index)
        words = re.findall(r'<h3>.*?href="#([\w-]+)"',
                           (HTML / "docs/glossary.html").read_text())
        self.assertGreater(len(words), 50)
        self.assertEqual(set(words) - set(linked), set())
        self.assertIn('href="chapters/01-readiness/README.html#subject-', index)

    def test_pictures_have_texts(self):
        for path in pages():
            with self.subTest(path.relative_to(HTML)):
                self.assertEqual(pictures_without_words(path.read_text()), [])

    def test_a_picture_without_text_is_found(self):
        self.assertEqual(pictures_without_words(
            '<img src="a.svg" alt="The queue holds two."><img src="b.svg">'),
            ["b.svg"])


class Epub(unittest.TestCase):
    @unittest.skipUnless(shutil.which("epubcheck") and shutil.which("java"),
                         "there is no epubcheck")
    def test_is_valid(self):
        # Debian's epubcheck is an archive that not every kernel starts by itself.
        program = os.path.realpath(shutil.which("epubcheck"))
        start = ["java", "-jar"] if program.endswith(".jar") else []
        done = subprocess.run([*start, program, EPUB], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


# ---- Colours ---------------------------------------------------------------

AA = 4.5


def luminance(colour):
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4
              for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """As WCAG 2 defines it: from 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


PAPERS = ["paper", "shade"]
INKS = ["ink", "soft", "link", "keyword", "type", "string", "number", "comment"]


def pale_colours(css):
    """Colours of the theme that cannot be read, in light and in dark."""
    names = {name: colours for name, *colours in re.findall(
        r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", css)}
    pairs = [(ink, paper) for ink in INKS for paper in PAPERS] + [("ink", "mark")]
    for ink, paper in pairs:
        for scheme, one, other in zip(("light", "dark"), names[ink], names[paper]):
            ratio = contrast(one, other)
            if ratio < AA:
                yield f"{ink} on {paper}, {scheme}: {ratio:.2f}"
    # A colour that is in no pair cannot be judged.
    for name in set(names) - {*INKS, *PAPERS, "mark", "line"}:
        yield f"{name}: neither an ink nor a paper"


FIGURE_INKS = ["text", ".soft"]
FIGURE_PAPERS = [".sheet", ".box", ".news", ".wrong"]


def pale_figures(css):
    light, _, dark = css.partition("@media (prefers-color-scheme: dark)")
    for scheme, text in (("light", light), ("dark", dark.partition("@media print")[0])):
        fills = dict(re.findall(r"^\s*([.\w-]+) \{[^}]*fill: (#\w{6})", text,
                                re.MULTILINE))
        for ink in FIGURE_INKS:
            for paper in FIGURE_PAPERS:
                ratio = contrast(fills[ink], fills[paper])
                if ratio < AA:
                    yield f"{ink} on {paper}, {scheme}: {ratio:.2f}"


class Colours(unittest.TestCase):
    css = (TOP / "docs/themes/book/static/book.css").read_text()
    figures = (TOP / "docs/figures.css").read_text()

    def test_contrast(self):
        self.assertAlmostEqual(contrast("#000000", "#ffffff"), 21)
        self.assertAlmostEqual(contrast("#777777", "#ffffff"), 4.48, 2)

    def test_of_the_theme_can_be_read(self):
        self.assertEqual(list(pale_colours(self.css)), [])

    def test_of_figures_can_be_read(self):
        self.assertEqual(list(pale_figures(self.figures)), [])

    def test_pale_ones_are_found(self):
        pale = re.sub(r"(--comment: light-dark\()#\w+", r"\1#aabbaa", self.css)
        self.assertEqual([p[:24] for p in pale_colours(pale)],
                         ["comment on paper, light:", "comment on shade, light:"])
        pale = self.figures.replace(".soft { fill: #5e6166", ".soft { fill: #909090")
        self.assertEqual(len(list(pale_figures(pale))), 4)

    def test_code_has_no_others(self):
        """Every colour of the page is one of the list."""
        body = self.css.partition("--serif")[2]
        body = body.replace("light-dark(transparent, #f4f2ec)", "")
        self.assertEqual(re.findall(r"#[0-9a-f]{3,8}\b", body), [])


# ---- Pages in a browser ----------------------------------------------------

# What sticks out on the right, and does not lie in a block that scrolls.
STICKS_OUT = """(() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide) return [];
  const scrolls = (e) => e && (getComputedStyle(e).overflowX !== "visible"
                               || scrolls(e.parentElement));
  const out = [...document.querySelectorAll("body *")].filter((e) =>
      (e.getBoundingClientRect().right > wide + 1 || e.scrollWidth > wide + 1)
      && !scrolls(e));
  return [document.documentElement.scrollWidth + " px of " + wide,
          ...out.slice(0, 3).map((e) => e.tagName + "." + e.className + ": "
                                        + e.textContent.slice(0, 40))];
})()"""
LOOKS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


@unittest.skipUnless(browser.program(), "there is no Chromium")
class InABrowser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tab = cls.enterClassContext(browser.Browser()) if hasattr(
            cls, "enterClassContext") else browser.Browser().__enter__()
        if not hasattr(cls, "enterClassContext"):
            cls.addClassCleanup(cls.tab.__exit__)

    def test_every_page_at_every_width(self):
        papers = set()
        for path in pages():
            self.tab.go(path.as_uri())
            for width, scheme in LOOKS:
                with self.subTest(f"{path.relative_to(HTML)}, {width}, {scheme}"):
                    self.tab.look(width, scheme)
                    self.assertEqual(self.tab.value(STICKS_OUT), [])
                    self.assertEqual(list(self.tab.complaints()), [])
                    papers.add((scheme, self.tab.value(
                        "getComputedStyle(document.body).backgroundColor")))
        self.assertEqual(len(papers), 2, papers)  # one for light, one for dark

    def planted(self, html):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.html"
            page.write_text("<!DOCTYPE html><meta name=viewport "
                            f"content='width=device-width'><body>{html}")
            self.tab.go(page.as_uri())
            time.sleep(0.2)
            return self.tab.value(STICKS_OUT), list(self.tab.complaints())

    def test_what_is_wrong_is_found(self):
        self.tab.look(390, "light")
        out, _ = self.planted("<pre>" + "x" * 200 + "</pre>")
        self.assertIn("PRE", out[1])
        self.assertEqual(self.planted("<pre style='overflow:auto'>" + "x" * 200
                                      + "</pre>"), ([], []))
        self.assertTrue(self.planted("<script>nothing()</script>")[1])
        self.assertTrue(self.planted("<script>console.error(1)</script>")[1])
        self.assertTrue(self.planted("<img src='http://127.0.0.1:9/a.png'>")[1])

    def results(self, word):
        self.tab.look(1280, "light")
        self.tab.go((HTML / "search.html").as_uri() + f"?q={word}")
        end = time.monotonic() + browser.PATIENCE
        while time.monotonic() < end:
            if self.tab.value("/finished|did not match/.test("
                              "document.querySelector('main').textContent)"):
                break
            time.sleep(0.1)
        self.assertEqual(list(self.tab.complaints()), [])
        return self.tab.value("[...document.querySelectorAll('#search-results li a')]"
                              ".map((a) => a.textContent)")

    def test_search_finds(self):
        self.assertIn("02 Coroutines", " ".join(self.results("swapcontext")))
        self.assertEqual(self.results("xyzzyx"), [])

    chapter = HTML / "chapters/01-readiness/README.html"

    def test_with_a_keyboard(self):
        self.tab.look(1280, "light")
        self.tab.go(self.chapter.as_uri())
        self.tab.press("Tab")
        self.assertEqual(self.tab.value(
            "[document.activeElement.className, document.activeElement"
            ".getBoundingClientRect().left >= 0]"), ["skip", True])
        self.tab.press("Tab")
        self.assertEqual(self.tab.value("document.activeElement.className"), "brand")
        self.assertNotEqual(self.tab.value(
            "getComputedStyle(document.activeElement).outlineStyle"), "none")

    def test_the_button_changes_the_theme(self):
        self.tab.look(1280, "light")
        self.tab.go(self.chapter.as_uri())
        paper = "getComputedStyle(document.body).backgroundColor"
        before = self.tab.value(paper)
        self.tab.value("document.querySelector('button.theme').click()")
        self.assertNotEqual(self.tab.value(paper), before)
        self.tab.value("localStorage.clear()")

    def test_listings_can_be_copied(self):
        self.tab.go(self.chapter.as_uri())
        count = "document.querySelectorAll('{}').length"
        self.assertEqual(self.tab.value(count.format("button.copy")),
                         self.tab.value(count.format("div.highlight")))

    def test_without_scripts(self):
        self.tab.call("Emulation.setScriptExecutionDisabled", value=True)
        self.addCleanup(self.tab.call, "Emulation.setScriptExecutionDisabled",
                        value=False)
        self.tab.look(390, "light")
        self.tab.go(self.chapter.as_uri())
        document = self.tab.call("DOM.getDocument")["root"]["nodeId"]
        def there(selector):
            return self.tab.call("DOM.querySelector", nodeId=document,
                                 selector=selector)["nodeId"] != 0
        self.assertTrue(there(".contents details[open] a[href$='00-the-run/README.html']"))
        self.assertTrue(there("a[rel=next]") and there("a[rel=prev]"))
        self.assertTrue(there("button.theme[hidden]"))
        self.assertFalse(there("button.copy"))


if __name__ == "__main__":
    unittest.main()
