"""S3 and GCS: lookups; S3 beside boto3, django-storages, collectfasta and rclone."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, storages
from django.core.management import call_command, get_commands
from django.test import override_settings
from storages.backends.s3 import S3Storage as Parent

from benchmarks.latency import farther
from benchmarks.rows import (
    Row,
    at_least,
    at_most,
    best_of_each,
    median_of_each,
    seconds,
)
from benchmarks.small import call_each
from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.testing.grid import LocalGrid
from tests.support.gcs_servers import running_gcs
from tests.support.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server, running_weed

wrapper: Any = staticfiles_storage
MIB = 1 << 20
LARGE = 256 * MIB
COPIED = 2000
STATIC = 1000
# Of known names: as many as are asked for in less than a millisecond.
SHARE = 50
MANY = 10_000
# For their entries, and for URLs, of which each counts as two names.
ROOM = 4 * MANY
OF_MANY = "{} with 10,000 names in memory"
VERBS = ("exists", "size", "get_modified_time", "url")


def on_weed(
    measure: Callable[[S3Server, Path], Iterator[Row]],
) -> Callable[[LocalGrid, Path], Iterator[Row]]:
    """Return a measurement that is made on a new SeaweedFS."""

    def measurement(grid: LocalGrid, work: Path) -> Iterator[Row]:
        folder = work / measure.__name__
        folder.mkdir()
        with running_weed(folder) as weed:
            yield from measure(weed, folder)

    measurement.__name__ = measure.__name__
    return measurement


def storage_on(weed: S3Server, work: Path, **cache_options: Any) -> S3Storage:
    """Return a storage on a new bucket, with its cache in ``work``."""
    given = {**weed.options, "bucket_name": weed.make_bucket()}
    return S3Storage(cache={"directory": str(work / "cache"), **cache_options}, **given)


@on_weed
def object_lookups(weed: S3Server, work: Path) -> Iterator[Row]:
    """Warm lookups on S3."""
    storage = storage_on(weed, work)
    parent = Parent(**weed.options, bucket_name=storage.bucket_name)
    taken = _warm_lookups(storage, work)
    signing = min(seconds(partial(parent.url, "dir/0.jpg")) for _ in range(50))
    for verb, (ours, _) in taken.items():
        beside = ""
        if verb == "url":
            beside = f"django-storages signs one in {signing * 1e6:.0f} us"
        text = f"S3: {verb}, known, from memory"
        yield at_most(text, ours * 1e6, "us", 15, beside)
    yield from _beside_a_folder("S3", taken)
    many = storage_on(weed, work / "many", memory_entries=ROOM)
    yield from _beside_a_folder(OF_MANY.format("S3"), _many_lookups(many, work))


def gcs_lookups(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """Warm lookups on Google Cloud Storage."""
    folder = work / "gcs"
    folder.mkdir()
    with running_gcs(folder) as server:
        storage = GCSStorage(
            **server.options,
            bucket_name=server.make_bucket(),
            cache={"directory": str(folder / "cache")},
        )
        yield from _beside_a_folder("GCS", _warm_lookups(storage, folder))
        many = GCSStorage(
            **server.options,
            bucket_name=server.make_bucket(),
            cache={"directory": str(folder / "many"), "memory_entries": ROOM},
        )
        yield from _beside_a_folder(OF_MANY.format("GCS"), _many_lookups(many, folder))


def _warm_lookups(
    storage: S3Storage | GCSStorage, work: Path
) -> dict[str, tuple[float, float]]:
    """Return the seconds of lookups among 1,000 names in memory, and in a folder."""
    files = FileSystemStorage(work / "files", base_url="/media/")
    names = [f"dir/{number}.jpg" for number in range(1000)]
    for name in names:
        storage.save(name, ContentFile(b"x"))
        files.save(name, ContentFile(b"x"))
    calls: dict[str, Callable[[str], object]] = {}
    for verb in VERBS:
        calls[verb] = getattr(storage, verb)
        calls[f"{verb} in a folder"] = getattr(files, verb)
    for ask in calls.values():
        call_each(ask, names)
    shares = itertools.cycle(names[n : n + SHARE] for n in range(0, 1000, SHARE))

    def a_share(ask: Callable[[str], object]) -> None:
        call_each(ask, next(shares))

    taken = best_of_each(
        {verb: partial(a_share, ask) for verb, ask in calls.items()}, rounds=80
    )
    return {
        verb: (taken[verb] / SHARE, taken[f"{verb} in a folder"] / SHARE)
        for verb in VERBS
    }


def _many_lookups(
    storage: S3Storage | GCSStorage, work: Path
) -> dict[str, tuple[float, float]]:
    """Return the same of MANY names, all of them in each turn."""
    files = FileSystemStorage(work / "many-files", base_url="/media/")
    names = [f"dir/{number:05}.jpg" for number in range(MANY)]
    for name in names:
        files.save(name, ContentFile(b"x"))
    for _ in storage.save_many((name, ContentFile(b"x")) for name in names):
        pass
    calls: dict[str, Callable[[], object]] = {}
    for verb in VERBS:
        calls[verb] = partial(call_each, getattr(storage, verb), names)
        calls[f"{verb} in a folder"] = partial(call_each, getattr(files, verb), names)
    for call in calls.values():
        call()
    taken = best_of_each(calls, rounds=5)
    return {
        verb: (taken[verb] / MANY, taken[f"{verb} in a folder"] / MANY)
        for verb in VERBS
    }


def _beside_a_folder(
    label: str, taken: dict[str, tuple[float, float]]
) -> Iterator[Row]:
    for verb, (ours, folder) in taken.items():
        text = f"{label}: {verb}, known, in times of FileSystemStorage"
        beside = f"{ours * 1e6:.1f} us, FileSystemStorage {folder * 1e6:.1f} us"
        yield at_most(text, ours / folder, "x", 1, beside)


@on_weed
def object_saves(weed: S3Server, work: Path) -> Iterator[Row]:
    """Saves of 10 KB by free names, beside django-storages and boto3."""
    storage = storage_on(weed, work)
    bucket, client = storage.bucket_name, weed.client()
    parent = Parent(**weed.options, bucket_name=bucket, file_overwrite=False)
    count, body = itertools.count(), secrets.token_bytes(10_000)

    def save(through: S3Storage | Parent) -> None:
        through.save(f"dir/{next(count)}.bin", ContentFile(body))

    def put() -> None:
        key = f"dir/{next(count)}.bin"
        client.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")

    ways = {"ours": partial(save, storage), "parent": partial(save, parent)}
    calls: dict[str, Callable[[], object]] = {**ways, "boto3": put}
    # The first save of a process tries the store.
    for call in calls.values():
        call()
    sent: list[str] = []

    def note(model: Any, **rest: Any) -> None:
        sent.append(model.name)

    events = storage.client.meta.events
    events.register("before-call.s3", note)
    save(storage)
    events.unregister("before-call.s3", note)
    text = "S3: requests of a save of 10 KB by a free name"
    yield at_most(text, len(sent), "", 1, ", ".join(sent))
    taken = median_of_each(calls, rounds=300)
    shown = {who: f"{each * 1e3:.2f} ms" for who, each in taken.items()}
    text = "S3: save of 10 KB by a free name, in times of django-storages"
    beside = f"{shown['ours']}, django-storages {shown['parent']}"
    yield at_most(text, taken["ours"] / taken["parent"], "x", 0.6, beside)
    text = "the same, in times of boto3's conditional put_object"
    beside = f"boto3 {shown['boto3']}"
    yield at_most(text, taken["ours"] / taken["boto3"], "x", 1.25, beside)


@on_weed
def object_transfers(weed: S3Server, work: Path) -> Iterator[Row]:
    """256 MiB up and down, beside boto3."""
    storage = storage_on(weed, work)
    client = weed.client()
    source = work / "source.bin"
    source.write_bytes(secrets.token_bytes(LARGE))
    os.sync()
    count = iter(range(1_000_000))

    def save() -> None:
        with source.open("rb") as file:
            storage.save(f"{next(count)}.bin", File(file))

    def upload() -> None:
        with source.open("rb") as file:
            client.upload_fileobj(file, storage.bucket_name, f"{next(count)}.bin")

    up = best_of_each({"ours": save, "boto3": upload}, rounds=4)
    name = "down.bin"
    with source.open("rb") as file:
        storage.save(name, File(file))

    # Both write what comes to the disk.
    def read() -> None:
        with storage.open(name) as file, (work / "target").open("wb") as target:
            for chunk in file.chunks():
                target.write(chunk)

    def download() -> None:
        with (work / "target").open("wb") as file:
            client.download_fileobj(storage.bucket_name, name, file)

    down = best_of_each({"ours": read, "boto3": download}, rounds=4)
    for label, taken in (("save", up), ("open().chunks()", down)):
        rates = {who: LARGE / MIB / each for who, each in taken.items()}
        beside = f"{rates['ours']:.0f} MiB/s, boto3 {rates['boto3']:.0f} MiB/s"
        ratio = taken["boto3"] / taken["ours"]
        text = f"S3: {label} of 256 MiB, in times of boto3's rate"
        yield at_least(text, ratio, "x", 0.95, beside)


@on_weed
def object_copies(weed: S3Server, work: Path) -> Iterator[Row]:
    """2,000 files of 10 KB from a folder to S3, beside rclone."""
    folder = work / "files"
    for number in range(COPIED):
        path = folder / f"{number % 40}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(secrets.token_bytes(10_000))

    names = [str(path.relative_to(folder)) for path in folder.rglob("*.bin")]
    bucket = weed.make_bucket()
    places = (f"{number}" for number in itertools.count())

    def measured(url: str, rounds: int) -> dict[str, float]:
        """Return the median seconds of each way to copy, each to a place of its own."""
        given = {**weed.options, "bucket_name": bucket, "endpoint_url": url}

        def ours(jobs: int) -> None:
            _storage_copy({**given, "location": next(places)}, folder, jobs)

        def rclone(jobs: int) -> None:
            _rclone(work, url, folder, f"{bucket}/{next(places)}", jobs)

        def parent() -> None:
            # Told to overwrite nothing, as ours; so it asks before each file.
            storage = Parent(**given, location=next(places), file_overwrite=False)
            source = FileSystemStorage(folder)
            for name in names:
                with source.open(name) as file:
                    storage.save(name, file)

        def boto3(jobs: int) -> None:
            server, place = replace(weed, endpoint_url=url), next(places)
            client = server.client()

            def put(name: str) -> None:
                body = (folder / name).read_bytes()
                # Told to overwrite nothing, as ours.
                client.put_object(
                    Bucket=bucket, Key=f"{place}/{name}", Body=body, IfNoneMatch="*"
                )

            with ThreadPoolExecutor(jobs) as threads:
                [*threads.map(put, names)]

        ways: dict[str, Callable[[], object]] = {
            "ours": partial(ours, 8),
            "ours alone": partial(ours, 1),
            "rclone": partial(rclone, 8),
            "rclone alone": partial(rclone, 1),
            "boto3": partial(boto3, 8),
            "boto3 alone": partial(boto3, 1),
            "parent": parent,
        }
        return median_of_each(ways, rounds=rounds)

    for where, way, rounds in (("loopback", 0.0, 3), ("5 ms each way", 0.005, 1)):
        with contextlib.ExitStack() as stack:
            url = weed.endpoint_url
            if way:
                url = stack.enter_context(farther(url, way))
            taken = measured(url, rounds)
        rates = {who: f"{COPIED / each:.0f}" for who, each in taken.items()}
        gains = {
            who: taken[f"{who} alone"] / taken[who]
            for who in ("ours", "boto3", "rclone")
        }
        yield at_most(
            f"storage_copy of 2,000 files of 10 KB, {where}, x bare boto3 in 8 threads",
            taken["ours"] / taken["boto3"],
            "x",
            1.25,
            f"{rates['ours']} files/s, boto3 {rates['boto3']} files/s; x one at a "
            f"time: ours {gains['ours']:.2f}, boto3 {gains['boto3']:.2f}, rclone "
            f"{gains['rclone']:.2f}",
        )
        if way:
            # On loopback nothing is waited for that others could be sent meanwhile.
            yield at_least(
                f"the same, {where}, x one at a time",
                gains["ours"],
                "x",
                4,
                f"{rates['ours']} files/s, {rates['ours alone']} files/s",
            )
        yield at_least(
            f"the same, {where}, x django-storages one at a time",
            taken["parent"] / taken["ours"],
            "x",
            4,
            f"{rates['parent']} files/s",
        )
        yield at_least(
            f"the same, {where}, x rclone with as many transfers",
            taken["rclone"] / taken["ours"],
            "x",
            0.5,
            f"rclone {rates['rclone']} files/s",
        )


def _storage_copy(options: dict[str, Any], folder: Path, jobs: int) -> None:
    """Copy a folder to S3, so many files at a time."""
    made = {
        "from": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(folder)},
        },
        "to": {
            "BACKEND": "tahoestorage.backends.s3.S3Storage",
            "OPTIONS": {**options, "cache": False},
        },
    }
    with override_settings(STORAGES={**storages.backends, **made}):
        call_command(
            *("storage_copy", "from", "to"),
            jobs=jobs,
            stdout=io.StringIO(),
            stderr=io.StringIO(),
        )


def _rclone(work: Path, url: str, folder: Path, target: str, jobs: int) -> None:
    config = work / "rclone.conf"
    config.write_text(
        "[weed]\ntype = s3\nprovider = Other\n"
        f"access_key_id = {ACCESS_KEY}\nsecret_access_key = {SECRET_KEY}\n"
        f"endpoint = {url}\nforce_path_style = true\n"
    )
    command = [str(Path(sys.executable).with_name("rclone")), "copy"]
    command += ["--config", str(config)]
    command += ["--transfers", f"{jobs}", "--checkers", f"{jobs}"]
    subprocess.run([*command, str(folder), f"weed:{target}"], check=True)


@on_weed
def object_static_files(weed: S3Server, work: Path) -> Iterator[Row]:
    """collectstatic of 1,000 unchanged files, beside collectfasta."""
    folder = work / "static"
    folder.mkdir()
    for number in range(STATIC):
        (folder / f"{number}.css").write_text(f"body {{ margin: {number}px }}\n" * 20)
    taken: dict[str, float] = {}
    commands = {
        "ours": ("tahoestorage.backends.s3.S3Storage", ["tahoestorage"]),
        "collectfasta": ("storages.backends.s3.S3Storage", ["collectfasta"]),
    }
    for who, (backend, applications) in commands.items():
        options = {**weed.options, "bucket_name": weed.make_bucket()}
        if who == "ours":
            options["cache"] = False
        with override_settings(
            INSTALLED_APPS=[*applications, "django.contrib.staticfiles"],
            STATICFILES_DIRS=[str(folder)],
            STATIC_URL="/static/",
            STORAGES={
                "staticfiles": {"BACKEND": backend, "OPTIONS": options},
            },
            COLLECTFASTA_STRATEGY="collectfasta.strategies.boto3.Boto3Strategy",
        ):
            get_commands.cache_clear()  # type: ignore[attr-defined]
            wrapper._wrapped = storages["staticfiles"]
            quiet = io.StringIO()
            collect = partial(
                call_command, "collectstatic", interactive=False, stdout=quiet
            )
            with contextlib.redirect_stderr(quiet):
                collect()
                taken[who] = min(seconds(collect) for _ in range(3))
    text = "collectstatic of 1,000 unchanged files, in times of collectfasta's rate"
    beside = f"{taken['ours']:.2f} s, collectfasta {taken['collectfasta']:.2f} s"
    yield at_least(text, taken["collectfasta"] / taken["ours"], "x", 1, beside)
