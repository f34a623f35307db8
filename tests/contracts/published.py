"""What the sources of the services publish, read from the code: events by name, commands from the sagas."""

import ast
from pathlib import Path
from typing import get_type_hints

from google.protobuf.message import Message

from petpro_booking.saga import SAGAS
from petpro_common.messaging.subjects import command_subject
from petpro_common.saga import Remote

SERVICES = Path(__file__).parents[2] / "services"


def event_types() -> set[str]:
    """Every event type that a service hands to the outbox."""
    sources = [file for file in SERVICES.glob("*/petpro_*/*.py") if "add_event(" in file.read_text()]
    return {event_type for source in sources for event_type in _published_by(ast.parse(source.read_text()))}


def _published_by(module: ast.Module) -> set[str]:
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call) and _name(node.func) == "add_event"]
    return {event_type for call in calls for event_type in _values(call.args[2], module)}


def _values(argument: ast.expr, module: ast.Module) -> list[str]:
    """What the third argument may be: a word, or any word of the table in which it is looked up."""
    if isinstance(argument, ast.Constant):
        return [str(argument.value)]
    assert isinstance(argument, ast.Subscript), f"an event type that cannot be read: {ast.unparse(argument)}"
    tables = [
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and _name(node.targets[0]) == _name(argument.value)
    ]
    assert tables, f"no table {ast.unparse(argument.value)} in the module"
    return [str(ast.literal_eval(word)) for table in tables if isinstance(table, ast.Dict) for word in table.values]


def _name(expression: ast.expr) -> str:
    return expression.attr if isinstance(expression, ast.Attribute) else getattr(expression, "id", "")


def command_subjects() -> set[str]:
    """Every subject on which a saga gives orders to another service."""
    actions = [action for saga in SAGAS for step in saga.steps for action in (step.do, step.undo)]
    return {_subject(action) for action in actions if isinstance(action, Remote)}


def _subject(remote: Remote) -> str:
    command: type[Message] = get_type_hints(remote.build)["return"]
    return command_subject(remote.service, command())


def saga_types() -> set[str]:
    """Every saga type, which names a subject of replies."""
    return {saga.type for saga in SAGAS}
