# Evaluation: every held-out sample against the truth, and the baselines beside it.
rule evaluation:
    input:
        catalogue=of_dataset(CATALOGUE),
        statistics=shared(STATISTICS, "statistics"),
        crops=shared(CROPS, "crops"),
        record=shared(RECORD, "training"),
        predictions=shared(PREDICTIONS, "inference"),
    output:
        EVALUATION,
    log:
        f"{LOGS}/evaluation/{{experiment}}/fold-{{fold}}.log",
    conda:
        ENVIRONMENT
    threads: 2
    params:
        settings=lambda w: signed("evaluation", STAGES.evaluation(w.experiment)),
        verify=verify_of,
        plugins=plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/evaluation.py"
