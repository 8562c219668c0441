# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test that did not run proves nothing: whatever pytest would report as skipped, here fails."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as failed here: {report.longrepr}"
        # An expected failure is a skip that pytest would go on to count by this attribute.
        report.__dict__.pop("wasxfail", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_if_skipped(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tells `./dev test` how many passed and failed."""
    if tally := os.environ.get("CARVE_TALLY"):
        count = {kind: len(reports) for kind, reports in terminalreporter.stats.items()}
        Path(tally).write_text(f"{count.get('passed', 0)} {count.get('failed', 0) + count.get('error', 0)}\n", "utf-8")
