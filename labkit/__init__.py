"""labkit: learn CI/CD on AWS in notebooks, against a local AWS that really executes.

`lab` says which AWS; `provision` builds the pipeline piece by piece; `observe` reads back what
happened; `show` displays it. All of these speak to AWS by boto3 alone, so that the same notebook
runs against a real account. `cloud` is the local AWS.
"""

from labkit.lab import Lab, LabError

__all__ = ["Lab", "LabError"]
