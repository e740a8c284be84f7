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


rule comparison:
    input:
        lambda w: sorted({path for name in STAGES.family(w.ablation) for path in files_of(name)}),
    output:
        report(
            COMPARISON,
            category="Ablations",
            caption="../report/comparison.rst",
            labels={"ablation": "{ablation}"},
        ),
    log:
        f"{LOGS}/comparison/{{ablation}}.log",
    group:
        "figures"
    conda:
        ENVIRONMENT
    params:
        settings=family_settings,
        plugins=CONFIG.plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/comparison.py"


rule trials:
    input:
        TRIALS,
    output:
        report(
            SEARCH_FIGURE,
            category="Searches",
            caption="../report/search.rst",
            labels={"search": "{ablation}"},
        ),
    log:
        f"{LOGS}/trials/{{ablation}}.log",
    group:
        "figures"
    conda:
        ENVIRONMENT
    params:
        settings=lambda w: canonical(STAGES.trials(w.ablation)),
        plugins=CONFIG.plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/trials.py"


rule report:
    input:
        [path for name in CONFIG.experiments for path in [*files_of(name), *figures_of(name).values()]],
        list(COMPARISONS.values()),
        [path for files in SEARCHES.values() for path in files.values()],
    output:
        report(REPORT, category="Report", caption="../report/report.rst"),
    log:
        f"{LOGS}/report.log",
    conda:
        ENVIRONMENT
    params:
        settings=canonical({**STAGES.report(), "experiments": [described(name) for name in CONFIG.experiments]}),
        figures={name: figures_of(name) for name in CONFIG.experiments},
        comparisons=COMPARISONS,
        searches=SEARCHES,
        plugins=CONFIG.plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/report.py"
