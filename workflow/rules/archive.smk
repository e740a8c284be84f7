# Archive: everything that made the report but the fields; the report is made again from it on another machine.
rule archive:
    input:
        lambda w: kept(),
    output:
        ARCHIVE,
    log:
        f"{LOGS}/archive.log",
    conda:
        ENVIRONMENT
    params:
        settings=archive_settings,
    script:
        "../scripts/archive.py"


use rule archive as archive_with_predictions with:
    input:
        lambda w: kept(PREDICTIONS),
    output:
        ARCHIVE_WITH_PREDICTIONS,
    log:
        f"{LOGS}/archive_with_predictions.log",
