"""A predict function's parameters: their JSON Schema, and a submission's values made into arguments."""
import enum
import inspect
import pathlib
import typing
from typing import Any, Callable, Dict, List, Optional

from .errors import ModelError, Reject

Json = Dict[str, Any]
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object", type(None): "null"}
BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


class Params:
    """What a function takes besides its image: its keyword-only arguments and those that have a default."""

    def __init__(self, function: Callable[..., Any]):
        try:
            signature = inspect.signature(function)
            hints = typing.get_type_hints(function)
        except (NameError, TypeError, ValueError):  # annotations that cannot be read say nothing
            signature, hints = _signature(function), {}
        given = list(signature.parameters.values())
        first = next((p for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)), None)
        if first is None:
            raise ModelError("%s() takes no image: write def %s(image)" % (_name(function), _name(function)))
        self.path_type = hints.get(first.name)
        self.open = any(p.kind is p.VAR_KEYWORD for p in given)
        self.defaults: Json = {}
        self.properties: Dict[str, Json] = {}
        self.required: List[str] = []
        for parameter in given:
            if parameter is first or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
                raise ModelError("%s() needs %r beside the image: give it a default" % (_name(function), parameter.name))
            self._add(parameter, hints.get(parameter.name))

    def _add(self, parameter: inspect.Parameter, hint: Any) -> None:
        name, default = parameter.name, parameter.default
        schema = _schema(hint)
        if hasattr(default, "default") and hasattr(default, "description"):  # Cog's Input, pydantic's Field
            about, default = default, default.default
            schema.update({BOUNDS[key]: getattr(m, key) for m in [about, *getattr(about, "metadata", [])]
                           for key in BOUNDS if isinstance(getattr(m, key, None), (int, float))})
            if about.description:
                schema["description"] = str(about.description)
        if default is parameter.empty or default is ...:
            self.required.append(name)
        else:
            self.defaults[name] = default
            if isinstance(default, (bool, int, float, str, type(None))):
                schema["default"] = default
                schema = schema if "type" in schema or "enum" in schema or default is None else {
                    "type": TYPES[type(default)], **schema}
        self.properties[name] = schema

    @property
    def any(self) -> bool:
        """Whether the function takes any."""
        return bool(self.properties) or self.open

    def schema(self) -> Optional[Json]:
        """The JSON Schema of the parameters, or None when there are none."""
        if not self.properties:
            return None
        schema: Json = {"type": "object", "properties": self.properties, "additionalProperties": self.open}
        return {**schema, "required": self.required} if self.required else schema

    def arguments(self, params: Json) -> Json:
        """Keyword arguments from a submission's params; `Reject` if they are not the function's.

        A function that takes nothing but the image reads them from `image.params`, so they are not judged here.
        """
        if not self.any:
            return {}
        unknown = [] if self.open else sorted(params.keys() - self.properties.keys())
        if unknown:
            raise Reject("the model has no parameter %r; it has %s" % (unknown[0], ", ".join(self.properties)))
        missing = [name for name in self.required if name not in params]
        if missing:
            raise Reject("the parameter %r is missing" % missing[0])
        return {**self.defaults, **{name: _fit(name, value, self.properties.get(name, {})) for name, value in params.items()}}

    def argument(self, image: str) -> Any:
        """The image as the function's first argument wants it: `pathlib.Path` (Cog's too) if it is declared so."""
        kind = self.path_type
        return kind(image) if isinstance(kind, type) and issubclass(kind, pathlib.PurePath) else image


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # written in C
        return inspect.Signature([inspect.Parameter("image", inspect.Parameter.POSITIONAL_ONLY)])


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", "predict")


def _schema(hint: Any) -> Json:
    """The JSON Schema of a type, {} for what JSON Schema has no word for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in TYPES:
        return {"type": TYPES[hint]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    if origin in (list, tuple, set) and arguments:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is dict:
        return {"type": "object"}
    if origin is typing.Annotated:
        return _schema(arguments[0])
    if origin is typing.Union or type(hint).__name__ == "UnionType":
        parts = [_schema(argument) for argument in arguments]
        return {"type": [part["type"] for part in parts]} if all(set(part) == {"type"} for part in parts) else {"anyOf": parts}
    return {}


def _fit(name: str, value: Any, schema: Json) -> Any:
    """The value if its kind is right; JSON's 1 is a float where one is asked for."""
    if "enum" in schema and value not in schema["enum"]:
        raise Reject("the parameter %r is %r; it may be %s" % (name, value, ", ".join(map(repr, schema["enum"]))))
    wanted = schema.get("type")
    wanted = wanted if isinstance(wanted, list) else [wanted] if wanted else []
    kind = TYPES.get(type(value))
    if kind == "integer" and "number" in wanted and "integer" not in wanted:
        return float(value)
    if kind == "number" and "integer" in wanted and "number" not in wanted and value == int(value):
        return int(value)
    if wanted and kind not in wanted:
        raise Reject("the parameter %r is %r; it must be of type %s" % (name, value, " or ".join(wanted)))
    return value
