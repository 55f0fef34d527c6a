"""CloudFormation: stacks of the resources that the lab has."""

import sys

# moto reads jsonschema with it, for API Gateway's sake; if it can, that compiles the grammar of IRIs
# at once, which takes seconds, and no request needs it
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
