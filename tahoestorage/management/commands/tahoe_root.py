"""``manage.py tahoe_root``: an encrypted snapshot of all caps, and a root out of it."""

from __future__ import annotations

import getpass
import json
import os
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.care.rootsnapshot import BadSnapshot, Restoration, RootSnapshot, take
from tahoestorage.config.settings import storage_of_alias
from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.management.commands.tahoe_create_root import new_secret_file
from tahoestorage.moving.progress import shown_on
from tahoestorage.moving.summary import reason, shown
from tahoestorage.redaction import Secret, redact
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.serverfacts import ServerRules

USAGE, INTERRUPTED = 2, 130
LEAST = 12  # characters


class Command(BaseCommand):
    """Export the root cap and all caps below it, or make a new root of them."""

    help = (
        "export: writes the root cap, and all paths and caps below it, into an "
        "encrypted file for safe keeping. restore: makes a new root out of such a "
        "file, where the root directory or others are lost: what can still be read is "
        "linked as it is, the rest is made as it was. It changes nothing that is there."
    )
    # No root cap may be set any more.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["export", "restore"])
        parser.add_argument(
            "file", type=Path, metavar="FILE", help="the encrypted file"
        )
        parser.add_argument(
            "--storage",
            default="default",
            metavar="ALIAS",
            help="the storage, by its alias in STORAGES (default: default)",
        )
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
        parser.add_argument(
            "--json",
            action="store_true",
            help="print one JSON document on standard output, and nothing else there",
        )

    def handle(
        self,
        *,
        action: str,
        file: Path,
        storage: str,
        output: Path | None,
        passphrase_file: Path | None,
        json: bool,
        **options: Any,
    ) -> None:
        try:
            found = storage_of_alias(storage)
            if not isinstance(found, TahoeStorage):
                raise ImproperlyConfigured("it is not on a grid")
            if action == "export":
                document = self._export(found, file, passphrase_file)
            elif output is None:
                raise CommandError(
                    "Give --output CAPFILE: the new root's cap is a secret, and goes "
                    "to a file.",
                    returncode=USAGE,
                )
            else:
                document = self._restore(found, file, output, passphrase_file)
        except (
            ImproperlyConfigured,
            TahoeStorageError,
            BadSnapshot,
            OSError,
        ) as error:
            text = str(error) if isinstance(error, BadSnapshot) else reason(error)
            raise CommandError(f"{storage}: {text}") from None
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted. Nothing that was there is changed; run it again.",
                returncode=INTERRUPTED,
            ) from None
        self._print(action, document, as_json=json)

    def _export(
        self, storage: TahoeStorage, file: Path, passphrase_file: Path | None
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
            shown_on(self.stderr._out, self._say) as progress,
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

    def _say(self, text: str) -> None:
        # The style of errors is for errors only.
        self.stderr.write(text, str)

    def _print(self, action: str, document: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            text = json.dumps(document, indent=2)
        elif action == "export":
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
        self.stdout.write(text)
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


def _passphrase(file: Path | None, *, confirm: bool) -> Secret:
    """Return the passphrase, a secret. Raises CommandError."""
    if file is not None:
        text = file.read_text("utf-8").strip()
    else:
        text = getpass.getpass("Passphrase: ")
        if confirm and getpass.getpass("The same again: ") != text:
            raise CommandError("The two passphrases differ.", returncode=USAGE)
    if len(text) < LEAST:
        text = ""
        raise CommandError(
            f"The passphrase must have {LEAST} characters or more.", returncode=USAGE
        )
    return Secret(text)
