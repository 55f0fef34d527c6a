"""What things are called in any local AWS, before one runs: for the texts that an exercise hands out."""

from __future__ import annotations

from labkit.lab import Lab


class Names(Lab):
    """The names of a lab without an AWS: the account and the Region are those of every local AWS."""

    account_id = "123456789012"
    region = "us-east-1"

    def __post_init__(self) -> None:
        """Any environment will do."""
