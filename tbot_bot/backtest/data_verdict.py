"""Whether a backtest may use its data: checked once for each content, and refused with the way round it.

The report of a check stands beside the bars of a data set (`check.json`) or, for other files, in the cache, under a
digest of the bytes that were checked: a report of other bytes is never taken for one of these.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tbot_bot.backtest.array_cache import check_and_load, fingerprint_of
from tbot_bot.backtest.bar_arrays import bar_files_of
from tbot_bot.backtest.data_check import check_data
from tbot_bot.backtest.data_findings import KINDS, DataReport, Finding, Verdict
from tbot_bot.backtest.data_set import manifest_of
from tbot_bot.backtest.kept_checks import keep, kept_at, kept_in, place_in
from tbot_bot.config.error_handler import DataError

CHECK_FILE: Final = "check.json"

Progress = Callable[[int, int, str], None]


class DataRefused(DataError):
    """The data would mislead a backtest; `report` says how."""

    def __init__(self, report: DataReport, *, accepted: bool) -> None:
        """Tell what is wrong, and what can be done."""
        never, refused = report.of(Verdict.NEVER), report.of(Verdict.REFUSED)
        lines = [f"  {line_of(finding)}" for finding in (*never, *(() if accepted else refused))]
        way = "Mend the data, or go on all the same with --accept-data."
        if never:
            way = "`tbot data import --skip-bad` makes a set without the rows that cannot be used."
        what = f"these data would mislead a backtest. {way} `tbot data check {report.source}` tells all."
        super().__init__("\n".join([what, *lines]), where=report.source)
        self.report = report


def line_of(finding: Finding) -> str:
    """Return a finding in words, with its worst example."""
    share = f" of {finding.of:,} ({finding.count / finding.of:.2%})" if finding.of else ""
    worst = finding.examples[0] if finding.examples else None
    example = "" if worst is None else f"; worst: {worst.where}{f': {worst.what}' if worst.what else ''}"
    return f"{finding.kind.value}: {finding.count:,}{share} {KINDS[finding.kind].says}{example}"


def require_usable(
    source: Path,
    *,
    accept: bool = False,
    cache: Path | None = None,
    progress: Progress = lambda _done, _of, _words: None,
) -> tuple[str, ...]:
    """Return what the check of `source` found, in words, where a backtest may run on it all the same.

    `accept` lets pass what is refused, but never what no engine can read. `cache` keeps what was checked.

    Raises:
        DataRefused: the data fail.
        DataError: no such path, or no bar file.
    """
    report = report_of(source, cache=cache, progress=progress)
    if report.of(Verdict.NEVER) or (report.of(Verdict.REFUSED) and not accept):
        raise DataRefused(report, accepted=accept)
    told = [f"accepted by --accept-data: {line_of(finding)}" for finding in report.of(Verdict.REFUSED)]
    return (*told, *(line_of(finding) for finding in report.of(Verdict.NOTED)))


def notes_on(source: Path) -> tuple[str, ...]:
    """Return what a data set says of itself, for reports; nothing of other files. Nothing is checked here.

    Raises:
        DataError: the manifest cannot be read.
    """
    manifest = manifest_of(source)
    if manifest is None:
        return ()
    found = [f"Source: {manifest.source}.", f"Adjusted for: {manifest.adjustment.value}."]
    found.append(f"Survivorship: {manifest.survivorship or 'not stated; what was delisted is likely to be missing'}.")
    if manifest.left_out:
        found.append(f"{manifest.left_out:,} rows of the source were no bars and were left out.")
    kept = kept_in(source / CHECK_FILE)
    if kept is not None:
        graver = kept.report.of(Verdict.NEVER, Verdict.REFUSED)
        found += [f"Refused without --accept-data: {line_of(finding)}." for finding in graver]
        found += [f"{line_of(finding)}." for finding in kept.report.of(Verdict.NOTED)]
    return tuple(found)


def report_of(
    source: Path, *, cache: Path | None = None, progress: Progress = lambda _done, _of, _words: None
) -> DataReport:
    """Return the check's report, from where one of the same bytes is kept, else made and kept.

    Raises:
        DataError: no such path, or no bar file.
    """
    paths, _ = bar_files_of(source)
    fingerprint = fingerprint_of(paths, cache)
    beside = source / CHECK_FILE if manifest_of(source) is not None else None
    kept = None if cache is None else place_in(cache, fingerprint)
    for place in (beside, kept):
        found = kept_at(place, fingerprint)
        if found is not None:
            return found
    if cache is not None:
        progress(0, len(paths), f"reading and checking {paths[0].name}")
    report = (None if cache is None else check_and_load(source, cache)) or check_data(source, progress)
    if kept is not None:
        keep(kept, fingerprint, report)
    return report


def keep_report(
    target: Path, fingerprint_cache: Path | None = None, progress: Progress = lambda *_: None
) -> DataReport:
    """Check the data set at `target` and keep the report beside its bars."""
    report = check_data(target, progress)
    keep(target / CHECK_FILE, fingerprint_of(bar_files_of(target)[0], fingerprint_cache), report)
    return report


__all__ = ["CHECK_FILE", "DataRefused", "keep_report", "line_of", "notes_on", "report_of", "require_usable"]
