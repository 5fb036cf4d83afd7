"""What is written to stderr, and what never is."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False
    logging.getLogger("httpx").setLevel(logging.NOTSET)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_production_writes_a_json_object_a_line_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", json_lines=True)
    structlog.get_logger("bus.reader").info("caught up", topic="rte.events", position=7)
    (line,) = lines(capsys)
    assert line["event"] == "caught up" and line["position"] == 7
    assert line["level"] == "info" and line["logger"] == "bus.reader" and "timestamp" in line


def test_lines_of_a_task_carry_its_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", json_lines=True)
    structlog.contextvars.bind_contextvars(request_id="r-1")
    structlog.get_logger("x").info("began")
    logging.getLogger("some.library").warning("slow %s", "disk")
    assert [line["request_id"] for line in lines(capsys)] == ["r-1", "r-1"]


def test_the_logs_of_libraries_go_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("uvicorn").handlers = [logging.StreamHandler()]
    logs.configure(level="info", json_lines=True)
    logging.getLogger("uvicorn.error").info("started")
    (line,) = lines(capsys)
    assert line["event"] == "started" and line["logger"] == "uvicorn.error"


def test_no_url_and_no_access_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", json_lines=True)
    logging.getLogger("uvicorn.access").info("GET /graphql?member=m-1")
    logging.getLogger("httpx").info("HTTP Request: POST https://example.com/check?name=Doe")
    assert lines(capsys) == []


def test_less_grave_lines_than_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="warning", json_lines=True)
    structlog.get_logger("x").info("no")
    structlog.get_logger("x").warning("yes")
    assert [line["event"] for line in lines(capsys)] == ["yes"]


@pytest.mark.parametrize("json_lines", [True, False])
def test_health_data_that_slipped_into_a_line_is_dropped(capsys: pytest.CaptureFixture[str], json_lines: bool) -> None:
    logs.configure(level="info", json_lines=json_lines)
    structlog.get_logger("x").info(
        "asked", first_name="Zebulon", context={"Subscriber": "Zebulon", "ok": [{"date_of_birth": "1901"}]}
    )
    written = capsys.readouterr().err
    assert "asked" in written and "ok" in written
    assert "Zebulon" not in written and "1901" not in written


@pytest.mark.parametrize("json_lines", [True, False])
def test_a_traceback_shows_no_variables(capsys: pytest.CaptureFixture[str], json_lines: bool) -> None:
    logs.configure(level="info", json_lines=json_lines)

    def fails(person: str) -> None:
        raise RuntimeError("broken " + str(len(person)))

    try:
        fails("Zebulon".upper())
    except RuntimeError:
        structlog.get_logger("x").exception("unexpected")
        logging.getLogger("some.library").exception("unexpected too")
    written = capsys.readouterr().err
    assert written.count("broken 7") >= 2
    assert "ZEBULON" not in written


def test_development_is_readable_and_without_colour_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", json_lines=False)
    structlog.get_logger("x").info("caught up", position=7)
    written = capsys.readouterr().err
    assert "caught up" in written and "position=7" in written and "\x1b" not in written


def test_an_answer_that_a_second_signal_breaks_off_is_no_stack_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", json_lines=True)
    for cause in (asyncio.CancelledError(), ValueError()):
        try:
            raise cause
        except BaseException:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    (line,) = lines(capsys)
    assert "ValueError" in json.dumps(line)
