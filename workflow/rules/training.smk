# Training: one model a fold. Its state lives in an undeclared folder, which Snakemake never deletes.
rule training:
    input:
        catalogue=of_dataset(CATALOGUE),
        statistics=shared(STATISTICS, "statistics"),
        crops=shared(CROPS, "crops"),
    output:
        model=MODEL,
        record=RECORD,
        history=HISTORY,
    log:
        f"{LOGS}/training/{{experiment}}/fold-{{fold}}.log",
    conda:
        ENVIRONMENT
    threads: lambda w: experiment(w).training.threads or 8
    resources:
        gpu=1,
    params:
        settings=lambda w: signed("training", STAGES.training(w.experiment)),
        running=running,
        folder=TRAINING_STATE,
        verify=verify_of,
        plugins=plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/training.py"
