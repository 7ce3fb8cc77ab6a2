"""``manage.py tahoe_root``: an encrypted snapshot of all caps, and a root out of it."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.care.rootsnapshot import Restoration, RootSnapshot, take
from tahoestorage.display import reason, shown
from tahoestorage.management.secretfile import new_secret_file
from tahoestorage.management.storecommand import (
    CTRL_C,
    INTERRUPTED,
    USAGE,
    StoreCommand,
    add_alias,
    add_json,
    errors_of,
    storage_on_grid,
)
from tahoestorage.redaction import Secret, redact
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.serverfacts import ServerRules

FAILED = 1
LEAST = 12  # characters


class Command(StoreCommand):
    """Export the root cap and all caps below it, or make a new root of them."""

    help = (
        "export: writes the root cap, and all paths and caps below it, into an "
        "encrypted file for safe keeping. restore: makes a new root out of such a "
        "file, where the root directory or others are lost: what can still be read is "
        "linked as it is, the rest is made as it was. It changes nothing that is there."
    )
    examples = (
        "manage.py tahoe_root export root.snapshot",
        "manage.py tahoe_root restore root.snapshot --output new-root.cap",
    )
    statuses = (
        (0, "done"),
        (FAILED, "it failed; or the file or the root is made, and lacks what is named"),
        (USAGE, "wrong arguments, or a passphrase that is too short"),
        CTRL_C,
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action", choices=["export", "restore"], help="what to do, see above"
        )
        parser.add_argument(
            "file",
            type=Path,
            metavar="FILE",
            help="the encrypted file: export makes it, restore reads it",
        )
        add_alias(parser, "--storage")
        parser.add_argument(
            "--output",
            type=Path,
            metavar="CAPFILE",
            help="restore: write the new root's cap to this new file, for the owner "
            "alone to read",
        )
        parser.add_argument(
            "--passphrase-file",
            type=Path,
            metavar="FILE",
            help=f"read the passphrase, {LEAST} characters or more, from this file "
            "(default: ask for it)",
        )
        add_json(parser)

    def handle(
        self,
        *,
        action: str,
        file: Path,
        storage: str,
        output: Path | None,
        passphrase_file: Path | None,
        json: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        # A root that is lost may be set no more.
        found = storage_on_grid(storage, FAILED, has_root=False)
        try:
            with errors_of(storage, FAILED):
                if action == "export":
                    document = self._export(found, file, passphrase_file, verbosity)
                elif output is None:
                    raise CommandError(
                        "Give --output CAPFILE: the new root's cap is a secret, and "
                        "goes to a file.",
                        returncode=USAGE,
                    )
                else:
                    document = self._restore(found, file, output, passphrase_file)
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted. Nothing that was there is changed; run it again.",
                returncode=INTERRUPTED,
            ) from None
        self._print(action, document, as_json=json)

    def _export(
        self,
        storage: TahoeStorage,
        file: Path,
        passphrase_file: Path | None,
        verbosity: int,
    ) -> dict[str, Any]:
        directories = storage.directories
        if directories.root.write is None:
            raise CommandError(
                "The root cap here is a read cap: nobody could write to what is "
                "restored from it. Export where the site has the write cap."
            )
        passphrase = _passphrase(passphrase_file, confirm=True)
        with (
            new_secret_file(Path(os.path.abspath(file))) as write,
            self.progress(verbosity) as progress,
            directories.gateways.first_alone(),
        ):
            snapshot = take(directories.gateway, directories.root.best, progress.looked)
            write(snapshot.sealed(passphrase))
        return {
            "files": snapshot.files,
            "directories": len(snapshot.directories),
            "unread": [redact(path) for path in snapshot.unread],
        }

    def _restore(
        self,
        storage: TahoeStorage,
        file: Path,
        output: Path,
        passphrase_file: Path | None,
    ) -> dict[str, Any]:
        with _errors_of_reading(file):
            text = Secret(file.read_text("ascii", errors="replace"))
        snapshot = RootSnapshot.opened(
            text, _passphrase(passphrase_file, confirm=False)
        )
        options = storage.options
        rules = ServerRules(options.server_count, options.retired_servers)
        # Not the storage's own, which needs a root.
        gateway = Gateway(
            options.base_url,
            connect_timeout=options.connect_timeout,
            read_timeout=options.read_timeout,
            min_rate=options.min_rate,
            retries=options.retries,
        )
        restoration = Restoration(gateway, snapshot, options.directory_format, rules)
        with (
            closing(gateway),
            new_secret_file(Path(os.path.abspath(output))) as write,
        ):
            write(restoration.carry_out().uri)
        taken = datetime.fromtimestamp(snapshot.taken).astimezone()
        return {
            "taken": f"{taken:%F %T %Z}",
            "output": os.path.abspath(output),
            "kept": restoration.kept,
            "made": [redact(path) for path in restoration.made],
            "unread": [redact(path) for path in restoration.lost],
            "odd": [redact(path) for path in restoration.odd],
        }

    def _print(self, action: str, document: dict[str, Any], *, as_json: bool) -> None:
        if action == "export":
            text = (
                f"{document['files']:,} files in {document['directories']:,} "
                "directories. Keep the passphrase elsewhere than the file."
            )
        else:
            text = (
                f"The new root has what was there on {document['taken']}: "
                f"{document['kept']:,} directories as they are now, "
                f"{len(document['made']):,} made as they were. Set this:\n"
                f"TAHOE_STORAGE_BASE_CAP_FILE = {json.dumps(document['output'])}"
            )
        self.put(document, text, as_json=as_json)
        texts = []
        for names, words in (
            (
                document["unread"],
                "directories can't be read now, and are in no snapshot",
            ),
            (
                document.get("odd"),
                "links have caps of a form that is not known here, and are left out",
            ),
        ):
            if names:
                listed = ", ".join(map(shown, names[:20]))
                texts.append(f"{len(names):,} {words}: {listed}")
        if texts:
            raise CommandError(". ".join(texts))


@contextmanager
def _errors_of_reading(file: Path) -> Iterator[None]:
    """Turn an OSError into a CommandError that names the file."""
    try:
        yield
    except OSError as error:
        raise CommandError(
            f"{shown(str(file))} can't be read: {reason(error)}", returncode=FAILED
        ) from None


def _passphrase(file: Path | None, *, confirm: bool) -> Secret:
    """Return the passphrase, a secret. Raises CommandError."""
    try:
        text = _read_passphrase(file, confirm=confirm)
        text.encode()
    except UnicodeError:
        # It has the passphrase.
        raise CommandError(
            "The passphrase is no text in UTF-8.", returncode=USAGE
        ) from None
    if len(text) < LEAST:
        raise CommandError(
            f"The passphrase must have {LEAST} characters or more.", returncode=USAGE
        )
    return text


def _read_passphrase(file: Path | None, *, confirm: bool) -> Secret:
    if file is not None:
        with _errors_of_reading(file):
            return Secret(file.read_text("utf-8").strip())
    try:
        text = Secret(getpass.getpass("Passphrase: "))
        again = getpass.getpass("The same again: ") if confirm else text
    except EOFError:
        raise CommandError(
            "Nobody can be asked for the passphrase here: give --passphrase-file FILE.",
            returncode=USAGE,
        ) from None
    if again != text:
        raise CommandError("The two passphrases differ.", returncode=USAGE)
    return text
