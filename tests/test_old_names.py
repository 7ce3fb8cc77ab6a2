"""Public names that were changed: the old ones do, and say what they are called now."""

import pickle
import subprocess
import sys

import pytest

from tahoestorage import exceptions, schemes
from tahoestorage.config.secrets import KeyFile
from tahoestorage.testing.grid import LocalGrid


def test_the_private_grid_is_found_where_it_was() -> None:
    from tahoestorage.tahoe import grid

    with pytest.warns(DeprecationWarning, match=r"in tahoestorage\.testing\.grid now"):
        assert grid.LocalGrid is LocalGrid


def test_what_a_module_never_had_it_does_not_have() -> None:
    from tahoestorage.tahoe import grid

    with pytest.raises(AttributeError):
        grid.NoSuchThing  # noqa: B018
    with pytest.raises(AttributeError):
        exceptions.NoSuchThing  # noqa: B018
    with pytest.raises(AttributeError):
        schemes.NoSuchThing  # noqa: B018


def test_an_exception_is_caught_by_its_old_name() -> None:
    with pytest.warns(DeprecationWarning, match="is called UnexpectedResponse now"):
        old = exceptions.UnexpectedAnswer
    assert old is exceptions.UnexpectedResponse


def test_the_text_on_a_wrong_scheme_is_found_by_its_old_name() -> None:
    with pytest.warns(DeprecationWarning, match="told is called wrong_scheme now"):
        old = schemes.told
    assert old is schemes.wrong_scheme


def test_the_plugin_is_loaded_by_its_old_path() -> None:
    program = (
        "import warnings, sys\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    import tahoestorage.pytest_plugin as plugin\n"
        "print(plugin.tahoe_grid.__name__, *[w.category.__name__ for w in seen])\n"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", program],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout.split() == ["tahoe_grid", "DeprecationWarning"]


def test_a_key_file_is_found_by_the_pickles_of_before() -> None:
    pickled = b"ctahoestorage.environment.secrets\nKeyFile\n."
    assert pickle.loads(pickled) is KeyFile  # noqa: S301
