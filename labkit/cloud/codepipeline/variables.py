"""Variables: `#{namespace.key}` in an action's configuration, resolved before the action starts.

AWS page: "Variables" in the CodePipeline User Guide.
"""

from __future__ import annotations

import re

from labkit.cloud.codepipeline.action import ActionFailed
from labkit.cloud.codepipeline.models import Execution

_REFERENCE = re.compile(r"#\{([A-Za-z0-9@_-]+)\.([A-Za-z0-9@_.-]+)\}")


def resolve(configuration: dict[str, str], execution: Execution) -> dict[str, str]:
    """The configuration with every reference replaced by its value.

    Raises:
        ActionFailed: a reference that no earlier action of this execution has filled.
    """
    known = {
        **execution.namespaces,
        "variables": execution.variables,
        "codepipeline": {"PipelineExecutionId": execution.id},
    }

    def value(match: re.Match[str]) -> str:
        namespace, key = match.groups()
        try:
            return known[namespace][key]
        except KeyError:
            raise ActionFailed(
                "ConfigurationError", f"Unresolved variable reference: {match.group(0)}"
            ) from None

    return {name: _REFERENCE.sub(value, text) for name, text in configuration.items()}
