"""Why a model of the Hugging Face hub cannot be had, in one line each."""

from __future__ import annotations

import logging
import shutil

import pytest
from fake_hub import NAME, TOKEN, commit_of, refused, wants_weights
from hub_place import Place, recorded
from loopback import Reply
from running import leaks
from small_files import fail

from screader_lib import offline
from screader_lib.reader.methods.methods import _load_llm


def set_token(monkeypatch: pytest.MonkeyPatch, token: str = TOKEN) -> None:
    monkeypatch.setenv("HF_TOKEN", token)


def test_a_gated_model_takes_a_token(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.hub.access = "gated"
    line = place.refuse()
    assert "is gated" in line and f"{place.server.url}/{NAME}" in line and "HF_TOKEN" in line
    set_token(monkeypatch)
    place.server.requests.clear()
    assert recorded(place.train())["revision"] == commit_of("first")
    sent = [(wants_weights(one), "Authorization" in one.headers) for one in place.server.requests]
    assert set(sent) == {(False, True), (True, False)}  # not to where the weights are stored
    assert not leaks(TOKEN, place.folder)


def test_a_private_model_takes_a_token(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.hub.access = "private"
    assert "private there. Check the name, or set HF_TOKEN" in place.refuse()
    set_token(monkeypatch)
    place.train()


@pytest.mark.parametrize(
    ("access", "told"),
    [
        ("open", "the hub rejects the token. Set HF_TOKEN"),
        ("gated", "your token's account has no access. Request access at http://127"),
        ("private", "nor a model that your token may read. Check the name and HF_TOKEN"),
    ],
)
def test_a_token_that_the_hub_does_not_take(
    place: Place, monkeypatch: pytest.MonkeyPatch, access: str, told: str
) -> None:
    place.hub.access, place.hub.accepted = access, "hf_another"
    set_token(monkeypatch)
    assert told in place.refuse()


@pytest.mark.parametrize("token", [TOKEN + "\N{LATIN SMALL LETTER U WITH DIAERESIS}", f"a {TOKEN}"])
def test_a_token_that_is_none(place: Place, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    set_token(monkeypatch, token)
    assert "a character that no token can have" in place.refuse()
    assert not place.asked


def test_what_is_not_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "neither a folder nor on the hub" in place.refuse(llm="someone/else")
    line = place.refuse("--llm-revision", "v3")
    assert "has no revision v3. --llm-revision takes a branch" in line
    assert "neither a folder nor an id" in place.refuse(llm="one/of/them")
    set_token(monkeypatch)
    assert "nor a model that your token may read" in place.refuse(llm="someone/else")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        pytest.param(refused(500, ""), "answered with status 500. Try again later", id="500"),
        pytest.param(refused(503, ""), "answered with status 503. Try again later", id="503"),
        pytest.param(
            refused(429, ""), "rate-limiting requests (status 429). Try again later", id="429"
        ),
        pytest.param(
            refused(403, "", "Access to this resource is disabled."), "is disabled", id="disabled"
        ),
        pytest.param(
            Reply(b"<html>log in to our network</html>", kind="text/html"), "cannot be", id="HTML"
        ),
        pytest.param(Reply(b"{}", delay=1.5), "does not answer in time", id="timeout"),
        pytest.param(
            Reply(b"{", headers={"Location": "/x"}, cut=True), "was interrupted", id="cut"
        ),
    ],
)
def test_a_hub_that_fails(
    place: Place, monkeypatch: pytest.MonkeyPatch, fault: Reply, told: str
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.5 if fault.delay else 20)
    place.hub.fault = lambda request: fault
    assert told in place.refuse()


def test_a_hub_that_cannot_be_reached(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    line = place.refuse("--llm-revision", "v2")
    assert "is not in the cache at revision v2, and the hub cannot be reached" in line
    assert "HF_HOME" in line and "folder" in line


def test_the_offline_switch_asks_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "is not in the cache, and HF_HUB_OFFLINE is set" in place.refuse()
    monkeypatch.setenv(offline.VARIABLE, "1")
    line = place.refuse("--llm-revision", "v2")
    assert f"not in the cache at revision v2, and {offline.VARIABLE} is set. Fetch it" in line
    assert not place.asked


def test_a_cache_that_cannot_be_written(place: Place) -> None:
    place.cache.write_text("no folder")
    assert "cannot be stored" in place.refuse() and "HF_HOME" in place.refuse()


def test_nothing_of_the_server_is_repeated(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that echoes the token: in its headers, its body and its warnings."""
    set_token(monkeypatch)
    echo = {"X-Error-Message": TOKEN, "X-HF-Warning": f"token; {TOKEN}", "X-Request-Id": TOKEN}
    place.hub.fault = lambda request: Reply(TOKEN.encode(), 500, headers=echo)
    with caplog.at_level(logging.INFO):
        line = place.refuse()
    assert "status 500" in line and TOKEN not in caplog.text


def test_predict_tells_which_commit_it_wants(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    reader, calls = place.train(), place.folder / "p.h5ad"
    shutil.rmtree(place.cache)
    _load_llm.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    line = fail("predict", place.cells, "-r", reader, "-o", calls)
    assert f"LLM {NAME}: is not in the cache at revision {commit_of('first')}" in line
    place.hub.commits = {"main": place.hub.commits["v2"]}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    line = fail("predict", place.cells, "-r", reader, "-o", calls)
    assert f"LLM {NAME}: has no revision {commit_of('first')}" in line
    assert not calls.exists()
