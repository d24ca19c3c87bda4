"""A Dagster asset that is a dataset of Cutover, with its version, rows and checks as metadata.

    dagster dev -f examples/dagster_asset.py

Where a retry changes nothing (a check stopped the version, or job or data are wrong), the step fails without one.

Needs the packages dagster and cutover. Paths in the job are below CUTOVER_ROOT.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of an asset's arguments.
import os
from typing import Any

import cutover
import dagster

FINAL = (cutover.InvalidError, cutover.InputError, cutover.RejectedError, cutover.CorruptError)


def materialize(job: str, parameters: dict[str, str], **flags: Any) -> dagster.MaterializeResult:
    """Runs a job; what it did becomes the asset's metadata."""
    try:
        done = cutover.run(job, cwd=os.environ.get("CUTOVER_ROOT", "."), set=parameters, **flags)
    except FINAL as error:
        raise dagster.Failure(f"{error.kind}: {error}", allow_retries=False) from error
    checks = [f"{check['rule']}: {check['outcome']}" for check in done.get("checks") or []]
    metadata = {
        "outcome": done["outcome"],
        "version": done["version"],
        "readers_see": done["readers_see"],
        "store": dagster.MetadataValue.path(str(done["store"])),
        "checks": checks,
        "dagster/row_count": done["rows"],
    }
    return dagster.MaterializeResult(metadata=metadata, data_version=dagster.DataVersion(str(done["version"])))


days = dagster.DailyPartitionsDefinition(start_date="2026-10-01")


@dagster.asset(
    partitions_def=days,
    retry_policy=dagster.RetryPolicy(max_retries=3, delay=300),
    op_tags={"dagster/concurrency_key": "views_of_day"},
)
def views_of_day(context: dagster.AssetExecutionContext) -> dagster.MaterializeResult:
    """Views by user on one day."""
    return materialize("jobs/views_of_day.toml", {"date": context.partition_key})


defs = dagster.Definitions(assets=[views_of_day])
