# Report: the figures of each experiment, and one page for the whole config.
rule figure:
    input:
        lambda w: files_of(w.experiment),
    output:
        report(
            FIGURE,
            category="{experiment}",
            caption="../report/figure.rst",
            labels={"figure": "{figure}"},
        ),
    log:
        f"{LOGS}/figure/{{experiment}}/{{figure}}.log",
    group:
        "figures"
    conda:
        ENVIRONMENT
    params:
        settings=lambda w: canonical({**STAGES.figure(w.figure), "experiment": described(w.experiment)}),
        caption=lambda w: STAGES.caption(w.figure),
        plugins=CONFIG.plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/figure.py"


rule report:
    input:
        [path for name in CONFIG.experiments for path in [*files_of(name), *figures_of(name).values()]],
    output:
        report(REPORT, category="Report", caption="../report/report.rst"),
    log:
        f"{LOGS}/report.log",
    conda:
        ENVIRONMENT
    params:
        settings=report_settings(),
        figures=report_figures(),
        plugins=CONFIG.plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/report.py"
