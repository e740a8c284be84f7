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
        settings=lambda w: signed("figure", {**STAGES.figure(w.figure), "experiment": drawn(w.experiment)}),
        caption=lambda w, threads: STAGES.caption(w.figure),
        plugins=plugins,
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
        settings=signed("report", {**STAGES.report(), "experiments": [described(name) for name in CONFIG.experiments]}),
        figures={name: figures_of(name) for name in CONFIG.experiments},
        plugins=plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/report.py"
