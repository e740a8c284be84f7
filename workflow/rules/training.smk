# Training: one model a fold. Its state lives in an undeclared folder, which Snakemake never deletes.
rule training:
    input:
        unpack(of_experiment(catalogue=CATALOGUE, statistics=STATISTICS, crops=CROPS)),
    output:
        model=MODEL,
        record=RECORD,
        history=HISTORY,
    log:
        f"{LOGS}/training/{{experiment}}/fold-{{fold}}.log",
    conda:
        ENVIRONMENT
    threads: training_threads
    resources:
        gpu=1,
    params:
        settings=settings("training"),
        running=running,
        folder=TRAINING_STATE,
        verify=verify_of,
        plugins=CONFIG.plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/training.py"
