"""Variables: the placeholders of a prompt as a JSON Schema of the values that it needs."""

import re
from typing import Any

from infra.providers.builtin.prompt.placeholders import Placeholder, find_placeholders
from infra.providers.builtin.prompt.safety import find_private_spans
from infra.providers.builtin.prompt.spans import Span

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Keeps the event well below its size limit; a template with more is generated, not written.
MAX_VARIABLES = 500
LONGEST_DEFAULT = 1_000
SURE_CONFIDENCE = 0.95
# Single braces may be something else, and a cut list is not the whole truth.
UNSURE_CONFIDENCE = 0.6

# The first pattern that fits the name decides; names are compared in snake_case.
TYPES: tuple[tuple[re.Pattern[str], dict[str, Any]], ...] = tuple(
    (re.compile(pattern), schema)
    for pattern, schema in (
        (
            r"(?:is|has|should|can|use|include|with|allow|enable|show)_.+|.+_(?:enabled|flag|allowed)|.*フラグ",
            {"type": "boolean"},
        ),
        (r"(?:.+_)?(?:url|uri|link|website|homepage)|.*(?:リンク|URL)", {"type": "string", "format": "uri"}),
        (r"(?:.+_)?e_?mail(?:_address)?|.*(?:メール|メールアドレス)", {"type": "string", "format": "email"}),
        (r"(?:.+_)?(?:date_?time|timestamp)|.+_at|.*日時", {"type": "string", "format": "date-time"}),
        (
            r"(?:.+_)?(?:date|birthday|deadline)|.+_on|.*(?:日付|期日|期限|生年月日)",
            {"type": "string", "format": "date"},
        ),
        (r"(?:.+_)?uuid|.+_guid", {"type": "string", "format": "uuid"}),
        (
            r"(?:num|number|count|max|min|n|total)_.+|(?:.+_)?(?:count|limit|quantity|qty|size|length|age|year|words|items"
            r"|pages|rank|index)|.*(?:件数|個数|回数|人数|文字数|年齢|数量|枚数)",
            {"type": "integer"},
        ),
        (
            r"(?:.+_)?(?:price|amount|rate|ratio|score|percent|percentage|temperature|weight|height|width|latitude|longitude"
            r"|cost|budget|number)|.*(?:金額|価格|割合|点数|温度|予算)",
            {"type": "number"},
        ),
        (
            r"(?:.+_)?(?:list|lists|array|tags|keywords|examples|options|names|topics|categories|labels)|.*(?:一覧|リスト)",
            {"type": "array", "items": {"type": "string"}},
        ),
    )
)
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
SEPARATORS = re.compile(r"[\s.\-_]+")


def describe_variables(text: str) -> tuple[dict[str, Any], float]:
    """The schema, with a property for each name in order of appearance, and the confidence in it.

    A name with a default anywhere is not required. A default that holds a secret or personal data is left out.
    """
    placeholders = find_placeholders(text)
    by_name: dict[str, list[Placeholder]] = {}
    for placeholder in placeholders:
        by_name.setdefault(placeholder.name, []).append(placeholder)
    names = list(by_name)[:MAX_VARIABLES]
    private = find_private_spans(text) if any(placeholder.default is not None for placeholder in placeholders) else []
    schema = {
        "$schema": DIALECT,
        "type": "object",
        "properties": {name: describe_variable(name, by_name[name], private) for name in names},
        "required": [name for name in names if all(used.default is None for used in by_name[name])],
        "additionalProperties": False,
    }
    double = all(text.startswith("{{", placeholder.start) for placeholder in placeholders)
    return schema, SURE_CONFIDENCE if double and len(names) == len(by_name) else UNSURE_CONFIDENCE


def describe_variable(name: str, uses: list[Placeholder], private: list[Span]) -> dict[str, Any]:
    """One property: type guessed from the name, a description, and the first default where it has the type."""
    words = SEPARATORS.sub(" ", CAMEL.sub("_", name)).strip()
    schema = guess_type("_".join(words.lower().split()))
    times = "" if len(uses) == 1 else f", used {len(uses)} times"
    property_schema = {**schema, "description": f"{words[:1].upper()}{words[1:]}{times}"}
    given = next((used for used in uses if used.default is not None), None)
    if given is None or given.default is None or len(given.default) > LONGEST_DEFAULT:
        return property_schema
    if any(span.start < given.end and given.start < span.end for span in private):
        return property_schema
    value = read_default(given.default, schema["type"])
    if value is None:
        return {"type": "string", "description": property_schema["description"], "default": given.default}
    return {**property_schema, "default": value}


def guess_type(name: str) -> dict[str, Any]:
    """The schema that a name in snake_case suggests; a string where it suggests nothing."""
    return next((dict(schema) for pattern, schema in TYPES if pattern.fullmatch(name)), {"type": "string"})


def read_default(written: str, type_name: str) -> Any:
    """A default's text as a value of the type, or None when it is not one: then the guess from the name was wrong."""
    if type_name == "boolean":
        return {"true": True, "yes": True, "false": False, "no": False}.get(written.lower())
    if type_name == "integer":
        return int(written) if re.fullmatch(r"[+-]?[0-9]{1,15}", written) else None
    if type_name == "number":
        return float(written) if re.fullmatch(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?", written) else None
    if type_name == "array":
        return [item for part in written.split(",") if (item := part.strip())]
    return written
