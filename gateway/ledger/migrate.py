"""The schema of the ledger's database, version by version (Alembic)."""

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import InvalidRequestError

from gateway.ledger.schema import metadata


_FOLDER = Path(__file__).parent / "migrations"

_ALONE = 0x6C6564676572
"""Key of the lock of PostgreSQL under which a schema is changed."""


class SchemaOlder(InvalidRequestError):
    """The schema is not there, or older than this program: the process that writes brings it to the newest version."""


def upgrade(connection: Connection) -> None:
    """Brings the schema to the newest version; does nothing where it is. Raises InvalidRequestError where it is of a later program."""
    scripts = _scripts()
    if connection.dialect.name == "postgresql":
        # Tables are made by one process at a time; the others see them then. A transaction of SQLite is alone anyway.
        connection.execute(select(func.pg_advisory_xact_lock(_ALONE)))
    found = _version(connection)
    if found == scripts.get_current_head():
        return
    _check_known(scripts, found)

    def steps(revision: str, _: MigrationContext) -> list[object]:
        return list(scripts._upgrade_revs("head", revision))  # noqa: SLF001 - what alembic's own command does

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=connection, target_metadata=metadata)
        environment.run_migrations()


def check_current(connection: Connection) -> None:
    """Where the schema is not the newest, this process must not change it.

    Raises:
        SchemaOlder: it will be the newest.
        InvalidRequestError: it is of a later program.
    """
    scripts = _scripts()
    found, wanted = _version(connection), scripts.get_current_head()
    if found != wanted:
        _check_known(scripts, found)
        raise SchemaOlder(f"has schema {found or 'none'}, and not {wanted}; `gateway ledger run` brings it there")


def _check_known(scripts: ScriptDirectory, found: str | None) -> None:
    if found is not None and found not in {each.revision for each in scripts.walk_revisions()}:
        raise InvalidRequestError(f"has schema {found}, which this version of the program does not know")


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)
