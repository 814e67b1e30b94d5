"""Assembly: colours for the listings of the switch, for both processors.

The lexers that there are stumble over a macro's parameters.
"""

from pygments.lexer import RegexLexer
from pygments.token import (Comment, Keyword, Name, Number, Punctuation, String,
                            Text)


class Assembly(RegexLexer):
    name = "Assembly"
    tokens = {"root": [
        (r"//.*", Comment.Single),
        (r"#.*", Comment.Preproc),
        (r'"[^"]*"', String),
        (r"\.[a-z]\w*", Keyword),  # a directive
        (r"[$]?-?\b(0x[0-9a-f]+|[0-9]+)\b", Number),
        (r"[%\\]?\w+", Name),
        (r"\s+", Text),
        (r".", Punctuation),
    ]}


def setup(app):
    app.add_lexer("asm", Assembly)
    return {"parallel_read_safe": True}
