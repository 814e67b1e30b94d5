"""Sphinx's settings for the book.

The source directory is the project's top folder (`sphinx-build -c docs . OUT`),
so that a page's links mean the same on a code host and in the book.

Invariant: nothing is fetched from elsewhere, and nothing is written into the
source tree.
"""

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE / "ext")]

import listings  # noqa: E402  (found by the line above)

project = "Naglfar"
author = copyright = "The Naglfar authors"
found = re.search(r"project\([^)]*VERSION\s+([\d.]+)",
                  (HERE.parent / "CMakeLists.txt").read_text()
                  if (HERE.parent / "CMakeLists.txt").exists() else "")
version = release = found[1] if found else "0"
language = "en"

extensions = ["myst_parser", "breathe", "pages", "woven", "assembly",
              "reference", "codespans", "pictures", "subjects"]
root_doc = "README"
include_patterns = listings.PAGES

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
smartquotes_action = "q"  # never turn -- into a dash: it is in options

breathe_projects = {"naglfar": os.environ.get("DOXYGEN_XML", "")}
breathe_default_project = "naglfar"
breathe_show_include = False

primary_domain = "cpp"
cpp_index_common_prefix = ["naglfar::sys::", "naglfar::"]
highlight_language = "text"
pygments_style = "bw"  # the colours are in the theme, for light and dark

# Signatures name what the standard library and the system define, constants
# among them, and namespaces. Those have no page here.
nitpick_ignore_regex = [("cpp:identifier", name) for name in [
    r"std(::.*)?", r"naglfar|naglfar::sys|sys", r"\w+_t", r"[A-Z][A-Z_]*", r"(\w+::)+(max|min)",
    r"(::)?(epoll_event|kevent|fd_set|iovec|sigset_t|siginfo_t|sockaddr\w*"
    r"|stat|timespec|timeval|pollfd|sigaction)", r"nanoseconds|rep",
    r"Stopped",  # what only a switch knows

]]

html_theme = "book"
html_theme_path = [str(HERE / "themes")]
html_title = "Naglfar"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_show_search_summary = False  # it would need a server
html_domain_indices = False

epub_basename = "naglfar"
epub_show_urls = "no"
epub_exclude_files = ["search.html"]

# The fonts are those of the screen where there is no better one.
latex_engine = "xelatex"
latex_documents = [(root_doc, "naglfar.tex", "Naglfar", author, "manual", True)]
latex_show_urls = "no"
latex_domain_indices = False
latex_elements = {
    "papersize": "a4paper",
    "pointsize": "10pt",
    "figure_align": "H",
    "fncychap": "",
    "preamble": r"\setcounter{secnumdepth}{-1}",
    "extraclassoptions": "oneside,openany",
    "fontpkg": r"""
\setmainfont{DejaVu Serif}[Scale=0.9]
\setsansfont{DejaVu Sans}[Scale=0.9]
\setmonofont{DejaVu Sans Mono}[Scale=0.8]
""",
    "sphinxsetup": "verbatimwithframe=false, VerbatimColor={HTML}{F4F2EC}, "
                   "hmargin={2.4cm,2.4cm}, vmargin={2.4cm,2.4cm}",
}
