"""`python -m m2m_core.archive` in the folder of an unpacked archive makes its report again."""

import sys

from ..errors import M2MError, printable
from .reproduce import reproduce

if __name__ == "__main__":
    try:
        reproduce(lambda text: print(printable(text), flush=True))
    except M2MError as error:
        print(f"archive: error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
