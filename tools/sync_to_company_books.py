"""Post the ledger to the company's own books in Manager.io: `tbot ledger push` under the build document's name.

    python tools/sync_to_company_books.py --mapping manager.map --mode live

TBOT_HOME names the folder of settings and records; default: the working directory.
"""

import sys

from tbot_bot.runtime.cli import main

if __name__ == "__main__":
    sys.exit(main(["ledger", "push", *sys.argv[1:]]))
