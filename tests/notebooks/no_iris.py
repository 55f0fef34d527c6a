"""A pytest plugin: jsonschema reads notebooks without the grammar of IRIs, which takes seconds to compile."""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
