"""Each option is declared once; every way to start a bank knows, documents and checks it."""

import argparse
import inspect
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_type

import pytest

import bankkit
from bankkit.cli.main import _parser, main
from bankkit.launch import start
from bankkit.locks import LockTable, Mutex
from bankkit.options import BankOptions, CommonOptions, FleetOptions, RedisOptions
from bankkit.runtime.arguments import check_flag
from bankkit.runtime.option_fields import (
    Options,
    add_arguments,
    chosen,
    command_line,
    option,
    options_of,
)
from tests.support.certificates import Authority
from tests.support.paths import ROOT
from tests.support.processes import Child, Home, home, needs_proc

OF_BANK = [each.name for each in options_of(BankOptions)]
OF_FLEET = [each.name for each in options_of(FleetOptions)]
COMMON = [each.name for each in options_of(CommonOptions)]
OF_REDIS = [each.name for each in options_of(RedisOptions)]
OF_SERVE = [each.name for each in options_of(BankOptions) if each.flag is not None]

BAD: dict[str, tuple[Any, str]] = {
    "concurrency": ("fast", "concurrency must be one of none, mutex, .*, atomic, not 'fast'"),
    "redis": ("http://127.0.0.1", "The URL given is not a Redis URL; allowed are redis://"),
    "data_dir": ("/dev/null", "data_dir cannot be /dev/null: it is not a directory"),
    "appendfsync": ("never", "appendfsync must be one of everysec, always, not 'never'"),
    "namespace": ("two words", "A namespace must be a plain word .*, not 'two words'"),
    "wait_replicas": (101, "wait_replicas must be a whole number from 0 to 100, not 101"),
    "lease": (0.05, r"lease must be 0\.1 to 3600 seconds, not 0\.05"),
    "threads": (0, "threads must be a whole number from 1 to 1000, not 0"),
    "unsafe": ("no", "unsafe must be True or False, not 'no'"),
    "policy": ("nobody", "policy must be one of fair, readers, writers, not 'nobody'"),
    "locks": (Mutex, r"locks must be a bankkit\.locks\.LockTable, not <class"),
    "name": ('a"b', "An owner must be a printable name without quotes or backslashes, not 'a\"b'"),
    "host": ("*", r"host '\*' is not an address of this machine"),
    "port": (70000, "port must be a whole number from 0 to 65535, not 70000"),
    "max_calls": (0, "max_calls must be a whole number from 1 to 1000000, not 0"),
    "max_wait": (-1.0, r"max_wait must be a positive number of seconds, not -1\.0"),
    "tls_cert": ("cert.pem", "tls_cert and tls_key belong together: give both or none"),
    "tls_key": ("key.pem", "tls_cert and tls_key belong together: give both or none"),
    "tls_ca": ("ca.pem", "tls_ca asks clients for certificates: give tls_cert and tls_key"),
    "servers": (33, "servers must be a whole number from 1 to 32, not 33"),
}
"""For each option, a value that is not allowed, and the start of the error."""

WRONG_TYPES = [
    ("data_dir", 7, "data_dir must be a path, not 7"),
    ("redis", 7, "The URL given is not a Redis URL"),
    ("namespace", 7, "A namespace must be a plain word .*, not '7'"),
    ("threads", True, "threads must be a whole number from 1 to 1000, not True"),
    ("lease", "3", "lease must be .*, not '3'"),
    ("max_wait", True, "max_wait must be a positive number of seconds, not True"),
    ("port", "50051", "port must be a whole number from 0 to 65535, not '50051'"),
    ("host", None, "host must be a name or an address of this machine, not None"),
    ("name", 7, "An owner must be a printable name .*, not 7"),
    ("tls_cert", 7, "tls_cert must be a path, not 7"),
]

GOOD: dict[str, Any] = {
    "concurrency": "mutex",
    "redis": "redis://127.0.0.1:1",
    "data_dir": "data",
    "appendfsync": "always",
    "namespace": "ours",
    "wait_replicas": 1,
    "lease": 7.5,
    "threads": 5,
    "unsafe": True,
    "policy": "writers",
    "locks": LockTable(lambda account_id: Mutex()),
    "name": "-x y",
    "host": "::1",
    "port": 50052,
    "max_calls": 7,
    "max_wait": 0.5,
    "tls_cert": "cert.pem",
    "tls_key": "key.pem",
    "tls_ca": "ca.pem",
    "servers": 2,
}
"""For each option, an allowed value that is not the default."""


def test_the_tables_above_have_every_option() -> None:
    assert set(BAD) == set(GOOD) == {*OF_BANK, *OF_FLEET}
    assert set(COMMON) <= set(OF_BANK) & set(OF_FLEET)
    assert not [each.name for each in options_of(FleetOptions) if each.default == GOOD[each.name]]
    assert not [each.name for each in options_of(BankOptions) if each.default == GOOD[each.name]]


# Values that are accepted


def callers_are_checked() -> None:
    """Only mypy reads this function. It reports an ignore comment that it does not need."""
    bankkit.Bank(port="50051")  # type: ignore[arg-type]
    bankkit.Bank(prt=50051)  # type: ignore[call-arg]
    bankkit.Bank("mutex", "fair")  # type: ignore[call-arg]
    bankkit.Fleet(port=50051)  # type: ignore[call-arg]
    bankkit.Fleet(servers="3")  # type: ignore[arg-type]
    bankkit.start(prt=50051)  # type: ignore[call-overload]
    assert_type(bankkit.Bank("mutex", port=50051, data_dir=Path("data")), bankkit.Bank)
    assert_type(bankkit.start("mutex", port=50051), bankkit.Bank)
    assert_type(bankkit.start(servers=1, port=50051), bankkit.Bank)
    assert_type(bankkit.start("atomic", servers=3, lease=1.0), bankkit.Fleet)


def test_a_signature_has_each_with_its_type_and_default() -> None:
    for entry_point, names in (
        (bankkit.Bank, OF_BANK),
        (bankkit.Fleet, OF_FLEET),
        (bankkit.start, [*OF_BANK, "servers"]),
    ):
        signature = inspect.signature(entry_point)
        assert list(signature.parameters) == names
        shown = str(signature)
        assert shown.startswith("(concurrency: str = ")
        assert ", *, redis: str | None = None, " in shown
        assert "data_dir: str | os.PathLike[str] | None = None" in shown
        assert "lease: float = 3.0" in shown
    assert inspect.signature(bankkit.Bank).parameters["concurrency"].default == "read-write"
    assert inspect.signature(bankkit.Fleet).parameters["concurrency"].default == "redis-read-write"
    assert inspect.signature(bankkit.Fleet).parameters["servers"].default == 3
    assert inspect.signature(bankkit.start).parameters["servers"].default == 1


def words(text: str | None) -> str:
    """The text with single spaces."""
    return " ".join((text or "").split())


def test_documentation_says_what_each_is_for() -> None:
    for documented, kind in (
        (bankkit.Bank.__init__, BankOptions),
        (bankkit.Fleet.__init__, FleetOptions),
        (bankkit.start, BankOptions),
        (bankkit.start, FleetOptions),
    ):
        for each in options_of(kind):
            assert f"{each.name} {each.about}" in words(documented.__doc__)


def test_serve_says_what_each_of_its_own_is_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    said = words(capsys.readouterr().out)
    for each in options_of(BankOptions):
        assert (f"[{each.flag_name}" in said) == (each.name in OF_SERVE)
        assert (each.help in said) == (each.name in OF_SERVE)
    assert "{none,mutex,first-draft,read-write,redis-read-write,atomic}" in said
    assert "(50051)" in said
    assert "(bank)" in said


@pytest.mark.parametrize("name", OF_BANK)
def test_start_hands_each_on_to_a_bank(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "Bank", lambda options: options)
    monkeypatch.setattr(start, "_current", None)
    given = {name: GOOD[name]}
    if name == "data_dir":
        given[name] = tmp_path
    elif name == "wait_replicas":
        given["redis"] = "private-cluster"
    elif name.startswith("tls_"):
        certificate = Authority(tmp_path).issue("127.0.0.1")
        given = {"tls_cert": certificate.cert, "tls_key": certificate.key}
        given["tls_ca"] = certificate.cert
    taken: Any = start.start(**given)
    assert {name: getattr(taken, name) for name in given} == given


def test_serve_hands_each_on_to_a_bank(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[dict[str, Any]] = []

    def bank(**options: Any) -> None:
        given.append(options)
        raise ValueError("That is enough.")

    monkeypatch.setattr(bankkit, "Bank", bank)
    wanted = {name: GOOD[name] for name in OF_SERVE}
    assert main(["serve", *command_line(BankOptions, wanted)]) == 2
    assert main(["serve"]) == 2
    defaults = {each.name: each.default for each in options_of(BankOptions) if each.flag}
    assert given == [wanted, defaults | {"port": 50051, "namespace": "bank"}]
    capsys.readouterr()


@needs_proc
def test_a_fleet_tells_its_servers() -> None:
    wanted = {name: GOOD[name] for name in COMMON if name not in OF_REDIS} | {"wait_replicas": 0}
    with bankkit.Fleet(servers=1, redis="private", **wanted) as fleet:
        process = Path(f"/proc/{fleet.servers['server 1'].pid}/cmdline")
        command = process.read_text().rstrip("\0").split("\0")
        told = chosen(_parser().parse_args(command[command.index("serve") :]), BankOptions)
    assert told | wanted | {"name": "server 1"} == told
    assert {name: told[name] for name in OF_REDIS} == {
        "redis": None,
        "data_dir": None,
        "appendfsync": "everysec",
    }


def test_what_a_fleet_tells_its_servers_can_all_be_said() -> None:
    given = {name: GOOD[name] for name in OF_FLEET if name not in OF_REDIS}
    told = FleetOptions(redis="private-cluster", **given).of_each_server
    assert told.keys() == set(COMMON) - set(OF_REDIS)
    said = chosen(_parser().parse_args(["serve", *command_line(BankOptions, told)]), BankOptions)
    assert said | told == said


@pytest.mark.parametrize(("name", "value"), [("policy", "readers"), ("namespace", None)])
def test_what_cannot_be_said_to_serve_is_not_left_out(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"A command line cannot express {name}={value!r}"):
        command_line(BankOptions, {name: value})


# Values that are refused


@pytest.fixture
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the test fail if a bank opens a Redis."""

    def started(*_: Any, **__: Any) -> None:
        raise AssertionError("a Redis was opened")

    monkeypatch.setattr("bankkit.launch.running_bank.own_namespace", started)


def refusal(entry_point: Callable[..., object], **options: Any) -> str:
    """The text of the ValueError that a call raises."""
    with pytest.raises(ValueError, match=r"\.") as refused:
        entry_point(**options)
    return str(refused.value)


def entry_points(*names: str) -> list[Callable[..., object]]:
    """The callables of Python that take these options."""
    of_bank: list[Callable[..., object]] = [BankOptions, bankkit.Bank, bankkit.start]
    of_fleet: list[Callable[..., object]] = [FleetOptions, bankkit.Fleet]
    if set(names) <= set(OF_FLEET) - {"servers"}:
        of_fleet.append(lambda **options: bankkit.start(servers=2, **options))
    elif set(names) <= set(OF_FLEET):
        of_fleet.append(bankkit.start)
    return [
        *(of_bank if set(names) <= set(OF_BANK) else []),
        *(of_fleet if set(names) <= set(OF_FLEET) else []),
    ]


@pytest.mark.usefixtures("nothing_starts")
@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_refused_in_the_same_words_everywhere(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    value, sentence = BAD[name]
    said = {refusal(entry_point, **{name: value}) for entry_point in entry_points(name)}
    if name in OF_SERVE and name != "unsafe":  # whose flag has no value
        flag = name.replace("_", "-")
        assert main(["serve", f"--{flag}={value}"]) == 2
        said.add(capsys.readouterr().err.removeprefix("bankkit: ").removesuffix("\n"))
    (same,) = said
    assert re.match(sentence, same)


@pytest.mark.usefixtures("nothing_starts")
@pytest.mark.parametrize(("name", "value", "sentence"), WRONG_TYPES)
def test_a_value_of_another_type_is_refused_too(name: str, value: Any, sentence: str) -> None:
    for entry_point in entry_points(name):
        with pytest.raises(ValueError, match=sentence):
            entry_point(**{name: value})


@pytest.mark.usefixtures("nothing_starts")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"wait_replicas": 1}, "wait_replicas is 1, but a private Redis has 0 for a master"),
        (
            {"redis": "private-sentinel", "wait_replicas": 3},
            "wait_replicas is 3, but private-sentinel has 2 for a master",
        ),
        ({"redis": "private-cluster", "data_dir": "data"}, "data_dir is for a single private"),
        ({"redis": "redis://127.0.0.1:1", "data_dir": "data"}, "data_dir is for a private Redis"),
        ({"concurrency": "redis-read-write", "policy": "readers"}, "Only read-write has policies"),
        ({"concurrency": "mutex", "policy": "writers"}, "policy cannot be 'writers' for mutex"),
        ({"policy": "readers", "locks": GOOD["locks"]}, "for a bank with locks of its own"),
        ({"concurrency": "atomic", "locks": GOOD["locks"]}, "those of none, mutex,"),
        ({"concurrency": "redis-read-write", "locks": GOOD["locks"]}, "not of redis-read-write"),
        ({"concurrency": "mutex", "servers": 2}, "mutex keeps calls apart within one process"),
    ],
)
def test_values_that_do_not_go_together(options: dict[str, Any], sentence: str) -> None:
    for entry_point in entry_points(*options):
        assert sentence in refusal(entry_point, **options)


@pytest.mark.usefixtures("nothing_starts")
@pytest.mark.parametrize(
    ("make", "options", "sentence"),
    [
        (bankkit.start, {"concurency": "none"}, "start() has no option concurency: did you mean"),
        (bankkit.start, {"servers": 2, "port": 1}, "start(servers=2) has no option port: it has "),
        (bankkit.Bank, {"servers": 2}, "Bank has no option servers: it has concurrency, "),
        (bankkit.Fleet, {"locks": None}, "Fleet has no option locks: it has concurrency, "),
    ],
)
def test_an_option_that_does_not_exist(make: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TypeError) as refused:
        make(**options)
    assert str(refused.value).startswith(sentence)


def test_a_flag_that_is_true_by_default_and_a_number_or_none() -> None:
    @dataclass(frozen=True)
    class Unusual(Options):
        eager: bool = option(True, "begin at once", check_flag)
        grace: int | None = option(None, "seconds to wait", unset="by default none")

    parser = argparse.ArgumentParser()
    add_arguments(parser, Unusual)
    for given in ({"eager": True, "grace": None}, {"eager": False, "grace": 5}):
        words = command_line(Unusual, given)
        assert chosen(parser.parse_args(words), Unusual) == given
    with pytest.raises(SystemExit):
        parser.parse_args(["--grace=long"])


def test_a_password_is_not_shown() -> None:
    for kind in (BankOptions, FleetOptions):
        options = kind(redis="redis://:open-sesame@127.0.0.1:1")
        assert "open-sesame" not in repr(options)
        assert "lease=3.0" in repr(options)


# An additional option


MADE_UP = """\
    greetings: int = option(
        1, "how often the server says good day", partial(check_whole, least=0, most=9)
    )
"""

SCRIPT = """
import contextlib, inspect, io, sys
import bankkit
from bankkit.cli.main import main

assert bankkit.__file__.startswith(sys.path[0])
for entry in bankkit.Bank, bankkit.Fleet, bankkit.start:
    assert ", greetings: int = 1, " in str(inspect.signature(entry))
for documented in bankkit.Bank.__init__, bankkit.Fleet.__init__, bankkit.start:
    assert "how often the server says good day" in documented.__doc__
with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
    main(["serve", "--help"])
assert "--greetings GREETINGS" in shown.getvalue()
assert "how often the server says good day (1)" in " ".join(shown.getvalue().split())

said = set()
for entry, servers in (bankkit.Bank, {}), (bankkit.Fleet, {}), (bankkit.start, {"servers": 2}):
    try:
        entry(greetings=10, **servers)
    except ValueError as error:
        said.add(f"bankkit: {error}")
with contextlib.redirect_stderr(io.StringIO()) as shown:
    assert main(["serve", "--greetings", "10"]) == 2
said.add(shown.getvalue().rstrip())
assert said == {"bankkit: greetings must be a whole number from 0 to 9, not 10."}

with bankkit.Fleet(servers=1, greetings=2) as fleet:
    (server,) = fleet.servers.values()
    assert "--greetings=2" in server._process.command
    print(fleet.client.create_account("alice").message)
"""


@pytest.fixture
def place() -> Iterator[Home]:
    """The home of the processes that a test starts."""
    with home() as place:
        yield place


def test_an_option_that_is_added_in_one_place_is_known_in_all(place: Home) -> None:
    """We add it in a copy of the package. A fleet's server that did not know it would not start."""
    copy = place.folder / "copy"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "bankkit", copy / "bankkit", ignore=ignored)
    options = copy / "bankkit" / "options.py"
    source = options.read_text()
    before = "    unsafe: bool = option("
    assert source.count(before) == 1
    options.write_text(source.replace(before, MADE_UP + before))
    (copy / "script.py").write_text(SCRIPT)
    place.environ["PYTHONPATH"] = str(copy)
    with Child([sys.executable, copy / "script.py"], place.environ) as script:
        assert script.line() == "Account created successfully.", script.errors()
        assert script.wait() == 0
