"""The tables' expressions are JMESPath: what the door reads by them is what JMESPath's own interpreter reads."""

from __future__ import annotations

from typing import Any

import jmespath
from hypothesis import given, settings
from hypothesis import strategies as st
from jmespath.visitor import TreeInterpreter

from labkit.cloud.front.services import SERVICES
from labkit.cloud.iam.asked import rows
from labkit.cloud.iam.asked.expressions import Reader, compiled, named
from tests.iam.test_asked_tables import all_rows, expressions

TABLES = sorted({one for service in SERVICES.values() for _, row in all_rows(service) for one in expressions(row)})  # fmt: skip
KEYS = sorted({one for service in SERVICES.values() for one in rows.of(service).keys.values()})
MORE = ["!a", "!a.b", "a.b.c", "a || b && !c", "[a, 'b', c]", "a[0].b", "a == 'x'", "a[?b].c", "length(a) && !!a"]  # fmt: skip
values = st.recursive(
    st.sampled_from([None, "", "x", "a/b/c", "arn:aws:s3:::b", 0, 5, 0.0, True, False]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["a", "b", "c", "Key", "Value"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=500)
@given(expression=st.sampled_from([*TABLES, *KEYS, *MORE]), data=st.data())
def test_an_expression_reads_what_jmespath_reads(expression: str, data: st.DataObject) -> None:
    names = sorted(named(expression))
    given_ = data.draw(st.dictionaries(st.sampled_from(names), values) if names else st.just({}))
    reader = Reader(lambda kind, name: f"{kind} {name}")
    assert repr(reader.read(expression, given_)) == repr(_of_jmespath(reader, expression, given_))


def _of_jmespath(reader: Reader, expression: str, given_: dict[str, Any]) -> Any:
    interpreter = TreeInterpreter(jmespath.Options(custom_functions=reader._functions))
    try:
        return interpreter.visit(compiled(expression).parsed, given_)
    except (jmespath.exceptions.JMESPathTypeError, AttributeError, TypeError, ValueError):
        return None  # a service refuses it, after IAM has been asked
