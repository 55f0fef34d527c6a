"""HTML as a notebook shows it.

JupyterLab typesets what stands between two `$` of an output as mathematics, unless an element's
class says not to: prices and shell variables are neither. MathJax page: "Document Options",
`ignoreHtmlClass` (`tex2jax_ignore` until version 3.0).
"""

from __future__ import annotations

NO_MATHEMATICS = "tex2jax_ignore mathjax_ignore"


def as_written(html: str) -> str:
    """The same HTML, in which a `$` is a dollar."""
    return f'<div class="{NO_MATHEMATICS}">{html}</div>'
