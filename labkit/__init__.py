"""labkit: learn CI/CD on AWS in notebooks, against a local AWS that really executes.

`lab` says which AWS; `provision` builds the pipeline piece by piece; `observe` reads back what
happened; `show` displays it; `teach` checks and asks. All of these speak to AWS by boto3 alone, so
that the same notebook runs against a real account. `cloud` is the local AWS.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.lab import Lab, LabError

__all__ = ["Lab", "LabError"]


def __getattr__(name: str) -> Any:
    # boto3 takes a while to import, and git's credential helper does not need it
    if name in __all__:
        from labkit import lab

        return getattr(lab, name)
    raise AttributeError(f"module 'labkit' has no attribute {name!r}")
