# Report: the figures of each experiment, and one page for the whole config.
rule figure:
    input:
        files_of,
    output:
        report(
            FIGURE,
            category="{experiment}",
            caption="../report/figure.rst",
            labels={"figure": "{figure}"},
        ),
    log:
        f"{LOGS}/figure/{{experiment}}/{{figure}}.log",
    conda:
        ENVIRONMENT
    params:
        settings=figure_settings,
        caption=quick(lambda w, threads: STAGES.caption(w.figure)),
        plugins=plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/figure.py"


rule report:
    input:
        all_results,
    output:
        report(REPORT, category="Report", caption="../report/report.rst"),
    log:
        f"{LOGS}/report.log",
    conda:
        ENVIRONMENT
    params:
        settings=report_settings,
        figures=figures_of_all,
        plugins=plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/report.py"
