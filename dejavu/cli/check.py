"""`check`: whether every server of the configuration can be used."""

from __future__ import annotations

import argparse

from dejavu.cli.endings import DONE, NOT_DONE
from dejavu.cli.output import columns
from dejavu.config.deployment import Deployment
from dejavu.config.settings import FINGERPRINT_VERSION, format_digest
from dejavu.service.checkup import Finding, check_up


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser], config: argparse.ArgumentParser) -> None:
    """Add the command of this file."""
    parser = commands.add_parser(
        "check", parents=[config], help="read the configuration and ask every server, changing nothing"
    )
    parser.set_defaults(run=_check)


def _check(deployment: Deployment, _options: argparse.Namespace) -> int:
    findings = check_up(deployment)
    details = columns(_cells(finding) for finding in findings if finding.server is not None)
    rows = [
        ("failed", finding.name, finding.where, finding.reason or "")
        if finding.server is None
        else ("ok", finding.name, finding.where, next(details))
        for finding in findings
    ]
    for line in columns(rows):
        print(line)
    return DONE if all(finding.server for finding in findings) else NOT_DONE


def _cells(finding: Finding) -> tuple[str, ...]:
    counts = finding.counts
    catalogue = ("", "", "")
    if counts is not None:
        # It is the one of this version, or the check had failed.
        made_as = f"format {FINGERPRINT_VERSION} ({format_digest()})"
        catalogue = (f"{counts.songs:>8} songs", f"{counts.fingerprints:>10} fingerprints", made_as)
    return (f"{1000 * finding.latency_seconds:6.1f} ms", finding.server or "", *catalogue)
