"""What of ours a notebook shows, and how: HTML as it is written, an error as its sentence.

JupyterLab typesets what stands between two `$` of an output as mathematics, unless an element's
class says not to: prices and shell variables are neither. MathJax page: "Document Options",
`ignoreHtmlClass` (`tex2jax_ignore` until version 3.0).
"""

from __future__ import annotations

NO_MATHEMATICS = "tex2jax_ignore mathjax_ignore"


def as_written(html: str) -> str:
    """The same HTML, in which a `$` is a dollar."""
    return f'<div class="{NO_MATHEMATICS}">{html}</div>'


class Sentence(Exception):
    """An error whose message says all that a learner needs: a notebook shows it without the way there."""

    def _render_traceback_(self) -> list[str]:
        """IPython asks an error for this."""
        return [f"{type(self).__name__}: {self}"]
