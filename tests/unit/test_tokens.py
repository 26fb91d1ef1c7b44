"""Making tokens, and starting a gateway with a file of tokens that is missing or broken."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.tokens import create, hashed, read


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Where tokens are kept; nothing is there yet."""
    return tmp_path / "data" / "tokens.json"


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line to its end, with no protection of new files by the shell."""
    command = [sys.executable, "-m", "gateway", *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, umask=0, env=env)


def test_a_token_is_shown_once_and_kept_as_a_hash(tokens: Path) -> None:
    """Standard output holds the secret alone; the file, which only its owner may read, holds its hash."""
    done = run("token", "create", "--scope", "read", "--scope", "admit", "--customer", "acme", "--tokens-file", tokens)
    assert 0 == done.returncode, done.stderr
    secret = done.stdout.strip()
    (kept,) = read(tokens).tokens
    assert (hashed(secret), {"admit", "read"}, ("acme",), None) == (
        kept.sha256, set(kept.scopes), kept.customers, kept.node,
    )  # fmt: skip
    assert f"token {kept.id} " in done.stderr
    assert secret not in done.stderr + tokens.read_text()
    assert 0o600 == stat.S_IMODE(tokens.stat().st_mode)


def test_a_further_token_is_added(tokens: Path) -> None:
    """The tokens that are there stay, and the file becomes the owner's alone again."""
    first, _ = create(tokens, ["admin"])
    tokens.chmod(0o644)
    tokens.with_suffix(".new").write_text("left behind")
    tokens.with_suffix(".new").chmod(0o644)
    assert 0 == run("token", "create", "--scope", "admit", "--node", "media-1", GATEWAY_TOKENS_FILE=str(tokens)).returncode
    assert [(first.id, None), (read(tokens).tokens[1].id, "media-1")] == [(one.id, one.node) for one in read(tokens).tokens]
    assert 0o600 == stat.S_IMODE(tokens.stat().st_mode)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--scope", "root"), 2, "root is none of admit, nodes, read, admin"),
        ((), 2, "Missing option '--scope'"),
        (("--scope", "read"), 1, "tokens.json"),
    ],
    ids=["unknown scope", "no scope", "a broken file"],
)
def test_a_token_that_cannot_be_made_is_refused(tokens: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    """Nothing is written, and the exit code says whose fault it was."""
    tokens.parent.mkdir()
    tokens.write_text("{")
    done = run("token", "create", *arguments, "--tokens-file", tokens, COLUMNS="200", NO_COLOR="1")
    assert (code, "") == (done.returncode, done.stdout)
    assert told in done.stderr
    assert "{" == tokens.read_text()


@pytest.mark.parametrize("option", ["--host", "--admin-host"])
@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "gateway.example"])
def test_without_tokens_only_loopback_is_served(tmp_path: Path, option: str, address: str) -> None:
    """A gateway that anybody could reach does not start before there is a token."""
    done = run("serve", option, address, "--port", "0", "--admin-port", "0", "--data-dir", tmp_path)
    assert (2, "") == (done.returncode, done.stdout)
    assert (
        "gateway serve: no token is configured, so only loopback may be listened on; make one with `gateway token create`\n"
        == done.stderr
    )


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"tokens": [{"id": "x"}]}', '{"token": []}', b"\xff", '{"tokens": 1}', "[" * 100_000]
)
def test_a_file_that_holds_no_tokens_stops_the_start(tokens: Path, content: str | bytes) -> None:
    """A broken file is not taken for an empty one, which would open the gateway."""
    tokens.parent.mkdir()
    tokens.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run("serve", "--port", "0", "--admin-port", "0", "--tokens-file", tokens, "--data-dir", tokens.parent)
    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(f"gateway serve: {tokens} is no file of tokens: ")
    assert 1 == len(done.stderr.splitlines())
