"""What all tables share."""

from sqlalchemy import BigInteger, Integer, MetaData


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(column_0_label)s",
    }
)

COUNTED = BigInteger().with_variant(Integer, "sqlite")
"""A key that the database counts; in SQLite only INTEGER does that."""
