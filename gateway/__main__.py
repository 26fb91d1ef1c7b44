"""The command line. Heavy imports stay inside the commands, so that `gateway --help` answers at once."""

from gateway.cli.main import app


def main() -> None:
    """Runs the command line."""
    app(prog_name="gateway")


if __name__ == "__main__":
    main()
