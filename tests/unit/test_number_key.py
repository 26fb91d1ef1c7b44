"""Where the key that hashes telephone numbers comes from, and what keeps it from being shown."""

import os
import stat
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.number_key import NumberKeyError, _make, number_key
from gateway.settings import Settings


KEY = "a key that is long enough to be one"
SHORT = "thirty-one characters are a few"
EXTERNAL = "redis://redis.example:6379/0"
ROUNDS = 25
CHILD = """
import sys
from gateway.number_key import number_key
from gateway.settings import Settings

print("ready", flush=True)
for line in sys.stdin:
    print(number_key(Settings(data_dir=line.strip())).decode(), flush=True)
"""


def refused(settings: Settings) -> str:
    """Why these settings give no key."""
    with pytest.raises(NumberKeyError) as raised:
        number_key(settings)
    assert SHORT not in "".join(traceback.format_exception(raised.value))
    return str(raised.value)


@pytest.mark.parametrize("redis_url", [None, EXTERNAL])
def test_T21_1_a_key_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str | None) -> None:
    """The environment's key is taken for every store, and no file is made."""
    monkeypatch.setenv("GATEWAY_NUMBER_KEY", f" {KEY}\n")
    assert KEY.encode() == number_key(Settings(redis_url=redis_url, data_dir=tmp_path))
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("redis_url", [None, EXTERNAL])
def test_T21_1_a_key_can_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str | None) -> None:
    """White space around it does not count: a key is the same from a file as from the environment."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    monkeypatch.setenv("GATEWAY_NUMBER_KEY_FILE", str(file))
    assert KEY.encode() == number_key(Settings(redis_url=redis_url, data_dir=tmp_path))
    assert [file] == list(tmp_path.iterdir())


def test_T21_1_an_external_store_without_a_key_has_none(tmp_path: Path) -> None:
    """Gateways of one store would each make their own; so none is made, nor is one taken that lies there."""
    assert None is number_key(Settings(redis_url=EXTERNAL, data_dir=tmp_path))
    (tmp_path / "number.key").write_text(KEY)
    assert None is number_key(Settings(redis_url=EXTERNAL, data_dir=tmp_path))


def test_T21_1_the_embedded_store_gets_a_key_of_its_own(tmp_path: Path) -> None:
    """It is made once, 32 random bytes as text, in a file that its owner alone may read."""
    settings = Settings(data_dir=tmp_path / "new" / "data")
    before = os.umask(0)
    try:
        key = number_key(settings)
    finally:
        os.umask(before)
    assert key is not None
    (file,) = settings.data_dir.iterdir()
    assert ("number.key", 0o600, key + b"\n") == (file.name, stat.S_IMODE(file.stat().st_mode), file.read_bytes())
    assert 32 == len(bytes.fromhex(key.decode()))
    assert key == number_key(settings)
    assert key != number_key(Settings(data_dir=tmp_path / "another"))


def test_T21_1_the_key_of_an_embedded_store_can_be_given_to_gateways_of_an_external_one(tmp_path: Path) -> None:
    """The file, named or pasted, is the same key, so hashes stay valid when a site grows."""
    key = number_key(Settings(data_dir=tmp_path))
    file = tmp_path / "number.key"
    assert key == number_key(Settings(redis_url=EXTERNAL, number_key_file=file))
    assert key == number_key(Settings.model_validate({"redis_url": EXTERNAL, "number_key": file.read_text()}))


def test_T21_1_a_key_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    """Who comes second to make it throws its own away."""
    file = tmp_path / "number.key"
    file.write_text(KEY)
    _make(file)
    assert ([file], KEY) == (list(tmp_path.iterdir()), file.read_text())


def test_T21_1_two_gateways_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    """Two processes that find no key at the same time end with the one in the file, and leave nothing else."""
    command = [sys.executable, "-c", CHILD]
    gateways = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        assert ["ready\n"] * 2 == [ask(gateway) for gateway in gateways]
        for number in range(ROUNDS):
            folder = tmp_path / str(number)
            for gateway in gateways:
                assert gateway.stdin is not None
                gateway.stdin.write(f"{folder}\n")
            for gateway in gateways:
                assert gateway.stdin is not None
                gateway.stdin.flush()
            first, second = [ask(gateway) for gateway in gateways]
            (file,) = folder.iterdir()
            assert (first, first) == (second, file.read_text())
    finally:
        for gateway in gateways:
            gateway.communicate(timeout=30)
    assert [0, 0] == [gateway.returncode for gateway in gateways]


def ask(gateway: subprocess.Popen[str]) -> str:
    """The next line that a process says."""
    assert gateway.stdout is not None
    return gateway.stdout.readline()


@pytest.mark.parametrize("key", ["", "   ", SHORT, f"{SHORT}  \n"])
def test_T21_1_a_short_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """Numbers could be found again by trying keys; an empty variable is no missing one."""
    told = f"is too short: {len(key.strip())} characters of at least 32; `openssl rand -hex 32` makes a key"
    file = tmp_path / "number.key"
    file.write_text(key)
    assert f"the number key {file} {told}" == refused(Settings(number_key_file=file))
    assert f"the number key {file} {told}" == refused(Settings(data_dir=tmp_path))
    monkeypatch.setenv("GATEWAY_NUMBER_KEY", key)
    assert f"GATEWAY_NUMBER_KEY {told}" == refused(Settings(data_dir=tmp_path))


def test_T21_1_one_key_is_set_not_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them made the hashes would be a guess."""
    monkeypatch.setenv("GATEWAY_NUMBER_KEY", KEY)
    told = "GATEWAY_NUMBER_KEY and GATEWAY_NUMBER_KEY_FILE are both set; leave one out"
    assert told == refused(Settings(number_key_file=tmp_path / "key"))


def test_T21_1_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file and a folder are not taken for having no key."""
    missing = tmp_path / "missing"
    told = f"the number key {missing} cannot be read: No such file or directory"
    assert told == refused(Settings(redis_url=EXTERNAL, number_key_file=missing))
    assert f"the number key {tmp_path} cannot be read: Is a directory" == refused(Settings(number_key_file=tmp_path))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff" * 64, "is no text; `openssl rand -hex 32` makes a key"),
        (b"k" * 4097, "is too long: more than 4096 bytes"),
    ],
    ids=["no text", "too long"],
)
def test_T21_1_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    """It is not read to its end, nor shown."""
    file = tmp_path / "key"
    file.write_bytes(content)
    assert f"the number key {file} {told}" == refused(Settings(number_key_file=file))


def test_T21_1_a_variable_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file of such bytes is."""
    monkeypatch.setenv("GATEWAY_NUMBER_KEY", os.fsdecode(b"\xff" * 64))
    assert "GATEWAY_NUMBER_KEY is no text; `openssl rand -hex 32` makes a key" == refused(Settings())


def test_T21_1_a_key_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    """The message names the file, the cause, and what can be set instead."""
    folder = tmp_path / "data"
    folder.write_text("in the way")
    told = f"the number key {folder}/number.key cannot be made: File exists; or set GATEWAY_NUMBER_KEY or GATEWAY_NUMBER_KEY_FILE"
    assert told == refused(Settings(data_dir=folder))


def test_T21_1_settings_do_not_show_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as text, not as JSON, and not where another setting is wrong."""
    monkeypatch.setenv("GATEWAY_NUMBER_KEY", KEY)
    settings = Settings()
    assert KEY not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    with pytest.raises(ValidationError) as raised:
        Settings(port=-1)
    assert KEY not in "".join(traceback.format_exception(raised.value))
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate({"number_key": KEY.encode(), "port": KEY})
    assert KEY not in "".join(traceback.format_exception(raised.value))
