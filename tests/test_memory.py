"""The server's memory pools."""

import ctypes
import platform
from types import SimpleNamespace

import pytest

from ctrs import memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this C library has no arenas")
def test_glibc_takes_the_limit():
    assert memory.share_arenas()


def test_the_limit_is_the_one_of_arenas(monkeypatch):
    asked = []
    library = SimpleNamespace(mallopt=lambda *what: asked.append(what) or 1)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert memory.share_arenas()
    assert asked == [(-8, 2)]


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_another_c_library_is_left_alone(monkeypatch, error):
    def missing(name):
        raise error(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert memory.share_arenas() is False
