"""What a block at rest leaves behind it: the collector as it was, and in a process of ours less for it to search."""

from __future__ import annotations

import gc

import pytest

from soundguide_core.common.collector import collector_at_rest, what_is_imported_stays


@pytest.fixture
def thawed():
    before = gc.get_freeze_count()
    yield before
    gc.unfreeze()


def test_in_a_process_of_ours_what_is_there_is_not_searched_again(thawed):
    with what_is_imported_stays(), collector_at_rest():
        assert not gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count() > thawed + 1000


def test_in_a_hosts_process_all_is(thawed):
    with what_is_imported_stays():
        pass
    with collector_at_rest():
        pass
    assert gc.isenabled() and gc.get_freeze_count() == thawed


def test_a_collector_that_was_off_stays_off(thawed):
    gc.disable()
    try:
        with what_is_imported_stays(), collector_at_rest():
            pass
        assert not gc.isenabled() and gc.get_freeze_count() == thawed
    finally:
        gc.enable()
