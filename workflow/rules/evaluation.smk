# Evaluation: every held-out sample against the truth, and the baselines beside it.
rule evaluation:
    input:
        unpack(
            of_experiment(
                catalogue=CATALOGUE, statistics=STATISTICS, crops=CROPS, record=RECORD, predictions=PREDICTIONS
            )
        ),
    output:
        EVALUATION,
    log:
        f"{LOGS}/evaluation/{{experiment}}/fold-{{fold}}.log",
    conda:
        ENVIRONMENT
    threads: 2
    params:
        settings=settings("evaluation"),
        verify=verify_of,
    script:
        "../scripts/evaluation.py"
