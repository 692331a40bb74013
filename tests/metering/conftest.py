from __future__ import annotations

import gzip
import hashlib
from importlib import resources

import pytest
import tiktoken
from mixed import VOCABULARIES

from penstock.metering.counter import BytePairs
from penstock.metering.encodings import ENCODINGS, Encoding


@pytest.fixture(params=sorted(ENCODINGS))
def encoding(request: pytest.FixtureRequest) -> Encoding:
    return ENCODINGS[request.param]


@pytest.fixture
def vocabulary(encoding: Encoding) -> BytePairs:
    loaded = VOCABULARIES.load(encoding.name)
    assert isinstance(loaded, BytePairs)
    return loaded


_BY_TIKTOKEN: dict[str, tiktoken.Encoding] = {}


@pytest.fixture
def by_tiktoken(encoding: Encoding, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """tiktoken's own encoding, with its own pattern: it finds the vocabulary where it would keep a download."""
    if encoding.name not in _BY_TIKTOKEN:
        folder = tmp_path_factory.mktemp("tiktoken")
        url = f"https://openaipublic.blob.core.windows.net/encodings/{encoding.name}.tiktoken"
        packed = resources.files("penstock.vocabularies").joinpath(f"{encoding.name}.tiktoken.gz").read_bytes()
        folder.joinpath(_cache_name(url)).write_bytes(gzip.decompress(packed))
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
        _BY_TIKTOKEN[encoding.name] = tiktoken.get_encoding(encoding.name)
    return _BY_TIKTOKEN[encoding.name]


def _cache_name(url: str) -> str:
    return hashlib.sha1(url.encode()).hexdigest()
