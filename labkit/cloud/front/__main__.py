"""`python -m labkit.cloud.front --state-dir DIR [--port N]`: one local AWS, until it is told to stop.

`launcher.up` starts it in the background. What moto reads when it is imported is settled here.
"""

from __future__ import annotations

import gc
import os

os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"
os.environ["MOTO_ACCOUNT_ID"] = "123456789012"


def main() -> None:
    """Run the server."""
    gc.disable()  # what is imported stays: a third of the start would go to looking for garbage in it
    from labkit.cloud.shared import models

    models.share()
    from labkit.cloud.front import tables

    tables.defer()
    from labkit.cloud.front import server

    gc.freeze()
    gc.enable()
    server.main()


if __name__ == "__main__":
    main()
