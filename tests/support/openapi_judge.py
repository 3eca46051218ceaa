"""Judges responses by a vendor's OpenAPI document: types, presence, nullability, enums."""

import json
import re
from functools import cache
from pathlib import Path

from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
DAY = re.compile(r"\d{4}-\d\d-\d\d")


class Judge:
    """Looks up what a document says of a response, and holds the response to it."""

    def __init__(self, file: Path) -> None:
        document = _nullable(json.loads(file.read_text(encoding="utf-8")))
        self.paths = document["paths"]
        self.base = document.get("basePath", "")
        resource = Resource.from_contents(document, default_specification=DRAFT4)
        self.registry = Registry().with_resource("urn:document", resource)
        self.patterns = sorted(
            ((re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path))), path) for path in self.paths),
            key=lambda pair: pair[1].count("{"),
        )

    def knows(self, method: str, path: str, status: int) -> bool:
        return self._schema(method, path, status) is not None

    def misfits(self, method: str, path: str, status: int, body: object) -> list[str]:
        """Return how `body` differs from the document; empty where it fits."""
        pointer = self._schema(method, path, status)
        assert pointer is not None, f"the document says nothing of {method} {path} {status}"
        validator = Draft4Validator({"$ref": f"urn:document{pointer}"}, registry=self.registry)
        found = [
            f"{'/'.join(map(str, error.absolute_path))}: {error.message[:150]}" for error in validator.iter_errors(body)
        ]
        return found + list(_false_formats(body))

    def _schema(self, method: str, path: str, status: int) -> str | None:
        for pattern, name in self.patterns:
            operation = self.paths[name].get(method.lower())
            if operation is None or not pattern.fullmatch(path):
                continue
            said = operation["responses"].get(str(status))
            if said is None:
                return None
            where = f"#/paths/{_escaped(name)}/{method.lower()}/responses/{status}"
            if "schema" in said:  # Swagger 2
                return f"{where}/schema"
            media = next(iter(said.get("content", {})), None)
            return None if media is None else f"{where}/content/{_escaped(media)}/schema"
        return None


@cache
def judge_of(file: Path) -> Judge:
    return Judge(file)


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")


def _nullable(node):
    """Say `nullable: true` of OpenAPI 3.0 in the words of JSON Schema.

    `oneOf` is read as `anyOf`: the alternatives in the vendors' documents overlap, and every trade fits two.
    """
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {name: _nullable(item) for name, item in node.items()}
    if made.get("nullable") is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    if isinstance(made.get("oneOf"), list):
        made["anyOf"] = made.pop("oneOf")
    return made


def _false_formats(node, where=""):
    """Yield times, days and ids that do not look like what their names promise."""
    if isinstance(node, dict):
        for name, item in node.items():
            yield from _false_formats(item, f"{where}/{name}")
            if isinstance(item, str) and name.endswith("_at") and not DATE_TIME.fullmatch(item):
                yield f"{where}/{name}: {item} is no time"
            if isinstance(item, str) and name in {"asset_id", "order_id"} and not UUID.fullmatch(item):
                yield f"{where}/{name}: {item} is no uuid"
            if isinstance(item, str) and name.endswith("_date") and not DAY.fullmatch(item):
                yield f"{where}/{name}: {item} is no day"
    elif isinstance(node, list):
        for place, item in enumerate(node):
            yield from _false_formats(item, f"{where}/{place}")
