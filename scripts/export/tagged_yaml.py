"""HyperPyYAML read as data: tags are dropped or resolved, never executed."""

import re
from dataclasses import dataclass
from typing import Any

import yaml

REFERENCE = re.compile(r"<([A-Za-z_]\w*)>")


def parse(text: str) -> dict[str, Any]:
    """The document as plain dicts, lists and scalars.

    `!new:x`, `!name:x` and `!apply:x` become their arguments; `!ref <a>` becomes the value of the top-level key `a`,
    and `!ref <a> * <b>` the product. Other reference expressions stay the string they are. Tags of Python objects
    are refused.

    Raises `yaml.YAMLError` or `ValueError`.
    """
    document = yaml.load(text, Loader=_TaggedLoader)
    if not isinstance(document, dict):
        raise ValueError("the top level is not a mapping")
    return _resolved(document, document, depth=0)


@dataclass(frozen=True)
class _Reference:
    expression: str


class _TaggedLoader(yaml.SafeLoader):
    """SafeLoader that keeps the arguments of unknown local tags."""


def _construct_tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    text = loader.construct_scalar(node)
    return _Reference(text) if tag == "ref" else text or None


_TaggedLoader.add_multi_constructor("!", _construct_tagged)


def _resolved(value: Any, document: dict[str, Any], depth: int) -> Any:
    if depth > 64:
        raise ValueError("references are nested too deeply or refer to themselves")
    if isinstance(value, dict):
        return {key: _resolved(item, document, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, document, depth + 1) for item in value]
    if isinstance(value, _Reference):
        return _resolved_reference(value.expression, document, depth)
    return value


def _resolved_reference(expression: str, document: dict[str, Any], depth: int) -> Any:
    factors = [factor.strip() for factor in expression.split("*")]
    names = [REFERENCE.fullmatch(factor) for factor in factors]
    if not all(names):
        return expression
    values = []
    for name in (match[1] for match in names):
        if name not in document:
            raise ValueError(f"`!ref {expression}` names `{name}`, which is not a key of the file")
        values.append(_resolved(document[name], document, depth + 1))
    if len(values) == 1:
        return values[0]
    if not all(isinstance(value, (int, float)) for value in values):
        return expression
    product = 1
    for value in values:
        product *= value
    return product
