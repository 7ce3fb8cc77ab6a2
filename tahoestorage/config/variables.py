"""Reads a store's options from variables such as AWS_STORAGE_BUCKET_NAME."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from tahoestorage.config import validators
from tahoestorage.config.secrets import read_file, read_option
from tahoestorage.config.storeoptions import Option, placed
from tahoestorage.config.storeurls import GCS, S3, TAHOE, StoreKind
from tahoestorage.config.validators import Given, InvalidValue

_FILE = "_FILE"
_TEXT = Option(str)
# Each of these names a store.
_NAMING = {
    TAHOE: (
        "TAHOE_STORAGE_BASE_URL",
        "TAHOE_STORAGE_BASE_CAP",
        "TAHOE_STORAGE_BASE_CAP_FILE",
    ),
    S3: ("AWS_STORAGE_BUCKET_NAME",),
    GCS: ("GS_BUCKET_NAME",),
}
# What begins so, and is not known, may be misspelt.
_BEGINNINGS = {
    TAHOE: ("TAHOE_STORAGE_",),
    S3: ("AWS_S3_", "AWS_STORAGE_"),
    GCS: ("GS_",),
}


def read_variable(
    variable: str, name: str = "", option: Option = _TEXT, *, or_file: bool = True
) -> tuple[str, Any] | None:
    """Return what a variable, or the file in VARIABLE_FILE, says for an option.

    The name of that variable stands before it. Raises InvalidValue.
    """
    text = os.environ.get(variable, "").strip()
    file = os.environ.get(variable + _FILE) if or_file else None
    if text and file:
        raise InvalidValue(
            f"{variable} and {variable}{_FILE} are both set; expected one"
        )
    place = variable + _FILE if file else variable
    try:
        if file:
            return place, read_file(name, file, option)
        return (place, read_option(name, text, option)) if text else None
    except InvalidValue as wrong:
        raise placed(place, wrong) from None


def read_variables(store: StoreKind, names: Iterable[str]) -> tuple[Given, list[str]]:
    """Return those of the options that variables hold, and the text of every error."""
    options = store.options()
    taken = {variable for option in options.values() for variable in option.variables}
    given: dict[str, tuple[str, Any]] = {}
    errors: list[str] = []
    for name in names:
        for variable in options[name].variables:
            or_file = variable + _FILE not in taken
            try:
                said = read_variable(variable, name, options[name], or_file=or_file)
            except InvalidValue as wrong:
                errors += wrong.args
            else:
                if said:
                    given.setdefault(name, said)
    return given, errors


def naming_variables() -> dict[StoreKind, str]:
    """Return the stores that variables name, each with the first one that does."""
    found: dict[StoreKind, str] = {}
    for store, names in _NAMING.items():
        for name in (name + end for name in names for end in ("", _FILE)):
            if os.environ.get(name):
                found.setdefault(store, name)
    return found


def misspelt(chosen: StoreKind | None) -> Iterator[str]:
    """Yield an error for each variable that is nearly one of the chosen store.

    Where none was chosen, for each that is nearly one to choose by.
    """
    for store, beginnings in _BEGINNINGS.items():
        suspects = [
            name.removesuffix(_FILE)
            for name, value in sorted(os.environ.items())
            if value and name.startswith(beginnings)
        ]
        if not suspects or chosen not in (None, store):
            continue
        try:
            options = store.options()
        except InvalidValue:  # What it needs is not installed.
            continue
        known = sorted(
            {name for option in options.values() for name in option.variables}
        )
        lower = [name.lower() for name in known]
        for name in suspects:
            if name in known:
                continue
            cut = next((whole for whole in known if whole.startswith(f"{name}_")), "")
            near = cut or (validators.nearest(name, lower, 0.85) or "").upper()
            if near and (chosen or near in _NAMING[store]):
                yield f"{name} is not known; did you mean {near}?"
