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
    script:
        "../scripts/figure.py"


rule comparison:
    input:
        lambda w: sorted({path for name in STAGES.members(w.ablation) for path in results_of(name)}),
    output:
        report(
            COMPARISON,
            category="Ablations",
            caption="../report/comparison.rst",
            labels={"ablation": "{ablation}"},
        ),
    log:
        f"{LOGS}/comparison/{{ablation}}.log",
    conda:
        ENVIRONMENT
    params:
        settings=family_settings,
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
    conda:
        ENVIRONMENT
    params:
        settings=settings("trials"),
    script:
        "../scripts/trials.py"


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
        comparisons=COMPARISONS,
        searches=SEARCHES,
    script:
        "../scripts/report.py"
