"""Options that are declared once: fields of a dataclass, from which everything else is derived.

`option` declares one: its default, its purpose, its allowed values, and its flag on a command line.
A class of options derives from `Options`. It provides

- the checks: an object of the class holds only allowed values;
- `takes`, `like` and `describe`: functions with a parameter for each option, shown by type
  checkers, Jupyter and the docstring;
- `add_arguments`, `chosen` and `command_line`: reading and writing a command line.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast, get_args, get_type_hints

Check = Callable[[str, Any], None]
"""Takes the name of an option and its value. Raises ValueError for a value that is not allowed."""

T = TypeVar("T")
Owner = TypeVar("Owner")
Kind = TypeVar("Kind")
P = ParamSpec("P")

COLUMNS = 92
"""The width of the lines about options in a docstring."""

_SAME = object()


@dataclass(frozen=True)
class Flag:
    """How an option is written on a command line, such as `--wait-replicas N`."""

    metavar: str | None = None
    """The placeholder of the value in the help; by default the name of the option."""
    default: Any = _SAME
    """The default on the command line, if it differs from the one in Python."""


class _Option(NamedTuple):
    """A field of a class of options, with the arguments of `option`."""

    name: str
    type: Any
    default: Any
    help: str
    check: Check | None
    choices: Sequence[str]
    unset: str
    flag: Flag | None

    @property
    def flag_name(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def parsed_as(self) -> type:
        """The type of a value on a command line: int, float, or else str. None is left out."""
        types = {self.type, *get_args(self.type)}
        return next((each for each in (int, float) if each in types), str)

    @property
    def flag_default(self) -> Any:
        default = _SAME if self.flag is None else self.flag.default
        return self.default if default is _SAME else default

    @property
    def about(self) -> str:
        about = ": ".join(filter(None, [self.help, ", ".join(self.choices)]))
        return "; ".join(filter(None, [about, self.unset]))


def option(
    default: T,
    help: str,
    check: Check | None = None,
    *,
    choices: Sequence[str] = (),
    unset: str = "",
    flag: Flag | None = Flag(),
    secret: bool = False,
) -> T:
    """A field of a class of options.

    `choices` are only shown: `check` or `check_together` must refuse every other value. `unset`
    says what None means if None is the default; that None is not checked. An option without a
    `flag` is not on the command line. `repr` does not show the value of a `secret` option.
    """
    metadata = {"help": help, "check": check, "choices": choices, "unset": unset, "flag": flag}
    return field(default=default, metadata=metadata, repr=not secret)


def with_default(default: T, kind: type[Options], name: str) -> T:
    """The option `name` of `kind` with another default, for use in a subclass."""
    (same,) = (each for each in fields(kind) if each.name == name)
    return field(default=default, metadata=same.metadata, repr=same.repr)


@dataclass(frozen=True)
class Options:
    """The base class of options. The constructor raises ValueError for a bad value."""

    def __post_init__(self) -> None:
        for each in options_of(type(self)):
            value = getattr(self, each.name)
            is_unset = value is None and each.default is None
            if each.check is not None and not is_unset:
                each.check(each.name, value)
        self.check_together()

    def check_together(self) -> None:
        """Raises ValueError for values that are each allowed, but not together."""


def options_of(kind: type[Options]) -> list[_Option]:
    """All options of a class, in the order in which its constructor takes them."""
    types = get_type_hints(kind)
    ordered = sorted(fields(kind), key=lambda each: bool(each.kw_only))
    return [_Option(each.name, types[each.name], each.default, **each.metadata) for each in ordered]


def build(
    kind: Callable[..., Kind], caller: str, arguments: Sequence[Any], options: Mapping[str, Any]
) -> Kind:
    """An object of `kind`, a class of options, from the arguments of `caller`.

    One argument that is such an object is returned as it is. Raises TypeError that names `caller`
    for an option that `kind` does not have.
    """
    if len(arguments) == 1 and not options and isinstance(arguments[0], cast(type, kind)):
        return cast(Kind, arguments[0])
    declared = cast("type[Options]", kind)
    names = {each.name for each in fields(declared)}
    for name in options:
        if name not in names:
            known = [each.name for each in options_of(declared)]
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}."
            raise TypeError(f"{caller} has no option {name}: {hint}")
    return kind(*arguments, **options)


# Functions that take options


def takes(
    kind: Callable[P, Kind],
) -> Callable[[Callable[[Owner, Kind], T]], Callable[Concatenate[Owner, P], T]]:
    """Decorates a method that expects an object of `kind`, a class of options.

    The decorated method has a parameter for each option, and builds the object from them.
    """

    def decorate(method: Callable[[Owner, Kind], T]) -> Callable[Concatenate[Owner, P], T]:
        @wraps(method)
        def taking(self: Owner, /, *arguments: P.args, **options: P.kwargs) -> T:
            return method(self, build(kind, type(self).__name__, arguments, options))

        owner = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        describe(taking, cast("type[Options]", kind), owner)
        return taking

    return decorate


def like(kind: Callable[P, object]) -> Callable[[Callable[..., T]], Callable[P, T]]:
    """Decorates an overload that takes the options of `kind`. Only type checkers use it."""
    return lambda overloaded: overloaded


def describe(
    function: Callable[..., object], kind: type[Options], *first: inspect.Parameter
) -> None:
    """Gives a function the signature of `kind`, and adds the help texts to its docstring."""
    shown: Any = function
    options = inspect.signature(kind, eval_str=True).parameters.values()
    shown.__signature__ = inspect.Signature([*first, *options])
    shown.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{help_text(kind)}\n"


def help_text(kind: type[Options]) -> str:
    """A table of the options: each name with its description."""
    options = options_of(kind)
    width = max(len(each.name) for each in options) + 2
    return "\n".join(
        textwrap.fill(
            f"{each.name:<{width}}{each.about}",
            COLUMNS,
            subsequent_indent=" " * width,
            break_on_hyphens=False,
        )
        for each in options
    )


# A command line


def add_arguments(parser: argparse.ArgumentParser, kind: type[Options]) -> None:
    """Adds the options of `kind` that have a flag. It does not check their values."""
    for each in options_of(kind):
        if each.flag is None:
            continue
        about = each.help.replace("%", "%%")
        if each.type is bool:
            action: Any = argparse.BooleanOptionalAction if each.flag_default else "store_true"
            parser.add_argument(
                each.flag_name, action=action, default=each.flag_default, help=about
            )
            continue
        if each.flag_default is not None:
            about += " (%(default)s)"
        elif each.unset:
            about += f"; {each.unset}".replace("%", "%%")
        parser.add_argument(
            each.flag_name,
            type=each.parsed_as,
            default=each.flag_default,
            metavar=f"{{{','.join(each.choices)}}}" if each.choices else each.flag.metavar,
            help=about,
        )


def chosen(arguments: argparse.Namespace, kind: type[Options]) -> dict[str, Any]:
    """The values of the options that `add_arguments` added, by name."""
    return {
        each.name: getattr(arguments, each.name)
        for each in options_of(kind)
        if each.flag is not None
    }


def command_line(kind: type[Options], values: Mapping[str, object]) -> list[str]:
    """The command-line arguments from which `chosen` would read these values.

    Raises ValueError for a value that a command line cannot express.
    """
    words = []
    for each in options_of(kind):
        value = values.get(each.name, each.flag_default)
        if value == each.flag_default:
            continue
        if each.flag is None or value is None:
            raise ValueError(f"A command line cannot express {each.name}={value!r}.")
        if each.type is bool:
            words.append(each.flag_name if value else f"--no-{each.flag_name[2:]}")
        else:
            text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
            words.append(f"{each.flag_name}={text}")
    return words
