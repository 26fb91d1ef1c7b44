"""The command line. Heavy imports stay inside the commands, so that `gateway --help` answers at once."""

import os
import sys

from gateway.cli.main import app


def main() -> None:
    """Runs the command line. A full disk under its output, or a reader that has gone, is told in one line."""
    try:
        app(prog_name="gateway")
    except SystemExit as ended:
        code = ended.code
    except OSError as error:
        code = _told(error)
    else:
        code = 0
    try:
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or _told(error)
    sys.exit(code)


def _told(error: OSError) -> int:
    sys.stderr.write(f"gateway: {error}\n")
    return 1


if __name__ == "__main__":
    main()
