"""The Batch API: three waves of files, results out of order, failures of every kind, and kills at any moment."""

from pathlib import Path
from typing import Any

import pytest

from knowlip.annotators.annotate import annotate
from knowlip.base.documents import read_json
from tests.annotators.fault_server import FaultServer
from tests.annotators.test_faults import (
    LASTING,
    PASSING,
    PRICED,
    REPAIRED,
    check_books,
    config,
    dataset,
    key,
    ledger_rows,
    run_and_kill,
    scripted,
)
from tests.annotators.tiny_dataset import build_tiny_dataset

__all__ = ["dataset", "key"]  # fixtures


def no_batch_is_submitted_twice(dataset: Path, server: FaultServer) -> None:
    names = [batch["metadata"]["knowlip"] for batch in server.batches.values()]
    assert len(names) == len(set(names))
    assert {name for (name,) in ledger_rows(dataset, "SELECT name FROM batches WHERE batch_id != ''")} == set(names)


def test_three_waves_give_the_texts_of_single_requests(dataset: Path, tmp_path: Path) -> None:
    single = build_tiny_dataset(tmp_path / "single")
    with FaultServer() as server:
        annotate(config(single, server))
    with FaultServer() as server:
        result = annotate(config(dataset, server, batch=True))
        assert result["annotated"] == 21
        assert len(server.batches) == 3  # large, medium, small
        lines = [server.files[batch["input"]].count(b"custom_id") for batch in server.batches.values()]
        assert lines == [1, 4, 16]
        assert set(server.charged.values()) == {1}
        check_books(dataset, server)
        no_batch_is_submitted_twice(dataset, server)
        # the same command in either way finds everything done
        assert annotate(config(dataset, server))["resumed"] == 21
        assert sum(server.charged.values()) == 21
    assert (dataset / "texts.parquet").read_bytes() == (single / "texts.parquet").read_bytes()
    assert not list((dataset / ".annotate" / "batches").iterdir())


def test_failures_within_batches(dataset: Path) -> None:
    script = scripted(dataset)
    offline = {"timeout", "disconnect", "early disconnect", "half a body", "html"}  # what a batch's line cannot meet

    def fault(place: str, times: int, body: dict[str, Any]) -> str:
        name = script(place, times, body)
        return "" if name in offline else name

    with FaultServer(fault) as server:
        result = annotate(config(dataset, server, batch=True))
        lasting = [name for name in LASTING.values() if name not in offline]
        assert result["quarantined"] == len(lasting)
        reasons = sorted(read_json(dataset / ".annotate" / "quarantine.json").values())
        for said in (
            "HTTP 400: bad image",
            "HTTP 429: slow down, after 3 retries",
            "HTTP 500",
            "refused",
            "unusable after 2 repair turns",
        ):
            assert any(said in reason for reason in reasons)
        assert result["ledger"]["tiles"]["repaired"] == len(REPAIRED)
        assert {"429", "500"} <= {PASSING[1], PASSING[2]}
        check_books(dataset, server)
        no_batch_is_submitted_twice(dataset, server)
        paid = sum(server.charged.values())
        assert annotate(config(dataset, server, batch=True))["resumed"] == 21
        # What was given up in passing is asked again on demand, a refusal is not.
        server.fault = lambda place, times, body: ""
        again = annotate(config(dataset, server, batch=True, retry_quarantined=True))
        assert again["annotated"] == 21 - 3  # refused, filtered, and unusable after two repair turns
        assert sum(server.charged.values()) == paid + 3
        assert set(server.charged.values()) == {1}


@pytest.mark.parametrize("fault", ["expired", "failed", "lost lines", "dropped create"])
def test_batches_that_go_wrong(dataset: Path, fault: str) -> None:
    with FaultServer(batch_fault=lambda number: fault if number in (0, 2) else "") as server:
        result = annotate(config(dataset, server, batch=True, options=PRICED))
        assert result["annotated"] == 21
        check_books(dataset, server, in_doubt=21 if fault == "lost lines" else 0)
        no_batch_is_submitted_twice(dataset, server)
        if fault == "lost lines":  # the endpoint worked on them, but nobody has the answers
            twice = sum(count - 1 for count in server.charged.values())
            assert twice == len(ledger_rows(dataset, "SELECT key FROM requests WHERE doubt > 0")) > 0
        if fault == "dropped create":
            assert len(server.batches) == 3


def test_a_queue_that_stays_full_stops_the_run_and_loses_nothing(dataset: Path) -> None:
    with FaultServer(batch_fault=lambda number: "failed") as server:
        with pytest.raises(ValueError, match=r"queue is full .*the same command asks again"):
            annotate(config(dataset, server, batch=True))
        server.batch_fault = lambda number: ""
        assert annotate(config(dataset, server, batch=True))["annotated"] == 21
        check_books(dataset, server)


@pytest.mark.parametrize("fault", ["gone", "file gone"])
def test_a_batch_that_vanished_is_asked_once_more(dataset: Path, fault: str) -> None:
    with FaultServer(batch_fault=lambda number: fault if number == 1 else "") as server:  # the medium wave, 4 tiles
        result = annotate(config(dataset, server, batch=True, options=PRICED))
        assert result["annotated"] == 21
        assert [server.files[batch["input"]].count(b"custom_id") for batch in server.batches.values()] == [1, 4, 4, 16]
        # The four were worked on twice, which the ledger allows for; nothing that had an answer was.
        assert sorted(server.charged.values()) == [1] * 17 + [2] * 4
        assert len(ledger_rows(dataset, "SELECT key FROM requests WHERE doubt > 0")) == 4
        check_books(dataset, server, in_doubt=4)
        no_batch_is_submitted_twice(dataset, server)


def test_batches_that_vanish_again_stop_the_run(dataset: Path) -> None:
    with FaultServer(batch_fault=lambda number: "gone" if number in (1, 2) else "") as server:
        with pytest.raises(ValueError, match=r"second time the endpoint no longer knows the batch \(4 requests"):
            annotate(config(dataset, server, batch=True, options=PRICED))
        assert len(server.batches) == 3
        charged = sum(count for count in server.charged.values() if count > 1)
        assert charged == 8
        assert ledger_rows(dataset, "SELECT SUM(doubt) FROM requests")[0][0] >= charged * 0.00015  # at half price
        assert annotate(config(dataset, server, batch=True, options=PRICED))["annotated"] == 21
        assert max(server.charged.values()) == 3


def test_a_batch_that_vanished_while_nobody_followed_it(dataset: Path) -> None:
    with FaultServer(polls=10**9) as server:
        run_and_kill(dataset, server, lambda: any(batch["looks"] > 1 for batch in server.batches.values()), batch=True)
        server.polls = 2
        server.batches["batch_0"]["fault"], server.batches["batch_0"]["status"] = "gone", "completed"
        assert annotate(config(dataset, server, batch=True))["annotated"] == 21
        assert set(server.charged.values()) == {1}
        assert len(server.batches) == 4


def test_a_batch_is_followed_only_where_it_was_sent(dataset: Path) -> None:
    with FaultServer(polls=10**9) as server:
        run_and_kill(dataset, server, lambda: any(batch["looks"] > 1 for batch in server.batches.values()), batch=True)
        with FaultServer() as other, pytest.raises(ValueError, match=f"under way at {server.url}"):
            annotate(config(dataset, other, batch=True))
        assert not other.charged


def test_a_ledger_without_endpoints_is_brought_up_to_date(tmp_path: Path) -> None:
    import sqlite3

    from knowlip.annotators.openai.ledger import RequestLedger

    base = sqlite3.connect(tmp_path / "ledger.sqlite")
    base.execute(
        "CREATE TABLE batches (name TEXT PRIMARY KEY, state TEXT, file_id TEXT, batch_id TEXT, requests INTEGER, "
        "reason TEXT, updated REAL)"
    )
    base.execute("INSERT INTO batches VALUES ('old', 'submitted', 'f', 'b', 3, '', 0)")
    base.commit()
    base.close()
    ledger = RequestLedger(tmp_path / "ledger.sqlite")
    assert ledger.open_batches()[0]["endpoint"] == ""
    ledger.close()


def test_files_are_cut_by_requests(dataset: Path) -> None:
    with FaultServer() as server:
        annotate(config(dataset, server, batch=True, options={"batch_requests": 5}))
        assert len(server.batches) == 1 + 1 + 4
        check_books(dataset, server)


def test_max_cost_within_batches(dataset: Path) -> None:
    # Half price: an answer costs 0.00015, the most a request may cost is about 0.012.
    with FaultServer() as server:
        with pytest.raises(ValueError, match="higher --max_cost"):
            annotate(config(dataset, server, batch=True, max_cost=0.0125, options=PRICED))
        paid = sum(server.charged.values())
        assert 0 < paid < 21
        result = annotate(config(dataset, server, batch=True, max_cost=1.0, options=PRICED))
        assert result["annotated"] == sum(server.charged.values()) == 21
        assert result["ledger"]["cost"] == pytest.approx(21 * 0.00015)
        assert len(server.batches) >= 4


def test_killed_runs_go_on_polling_and_submit_nothing_twice(dataset: Path, tmp_path: Path) -> None:
    with FaultServer(polls=10**9) as server:
        run_and_kill(dataset, server, lambda: any(batch["looks"] > 1 for batch in server.batches.values()), batch=True)
        assert len(server.batches) == 1
        with pytest.raises(ValueError, match="--batch true"):
            annotate(config(dataset, server))  # single requests would pay a second time
        server.polls = 2
        assert annotate(config(dataset, server, batch=True))["annotated"] == 21
        assert len(server.batches) == 3
        assert set(server.charged.values()) == {1}
        check_books(dataset, server)
        no_batch_is_submitted_twice(dataset, server)


@pytest.mark.parametrize("state", ["planned", "uploaded", "uploaded, nothing sent", "submitted, not noted"])
def test_a_kill_between_any_two_steps(dataset: Path, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies at one step of submitting the medium wave: an exception nobody catches stands in for SIGKILL."""
    from knowlip.annotators.openai.ledger import RequestLedger

    class Killed(BaseException):
        pass

    with FaultServer() as server:
        with monkeypatch.context() as patch:
            count = {"new": 0}
            change, new, sent = RequestLedger.batch, RequestLedger.new_batch, RequestLedger.sent_all

            def new_batch(self: RequestLedger, name: str, requests: int, endpoint: str) -> None:
                count["new"] += 1
                new(self, name, requests, endpoint)
                if count["new"] == 2 and state == "planned":
                    raise Killed

            def batch(self: RequestLedger, name: str, **changes: Any) -> None:
                if count["new"] == 2 and changes.get("state") == "submitted" and state == "submitted, not noted":
                    raise Killed
                change(self, name, **changes)

            def sent_all(self: RequestLedger, rows: Any, name: str) -> None:
                if count["new"] == 2 and state == "uploaded, nothing sent":
                    raise Killed
                sent(self, rows, name)
                if count["new"] == 2 and name and state == "uploaded":
                    raise Killed

            patch.setattr(RequestLedger, "new_batch", new_batch)
            patch.setattr(RequestLedger, "batch", batch)
            patch.setattr(RequestLedger, "sent_all", sent_all)
            with pytest.raises(Killed):
                annotate(config(dataset, server, batch=True))
        assert annotate(config(dataset, server, batch=True))["annotated"] == 21
        assert len(server.batches) == 3
        assert set(server.charged.values()) == {1}
        check_books(dataset, server)
