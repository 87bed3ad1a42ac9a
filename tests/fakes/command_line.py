"""`aegis` in the process of a test: checked answers, and a yes."""

import json
from pathlib import Path

import jsonschema

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def check(name, document):
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    return document


def grant(aegis):
    notice = json.loads(aegis("consent", "show", "--json")[1])
    code, out, _ = aegis("consent", "grant", "--accept", notice["notice_id"], "--json")
    assert code == 0
    return json.loads(out)
