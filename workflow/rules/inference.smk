# Inference: the held-out samples of a fold, whole, in physical units.
rule inference:
    input:
        catalogue=of_dataset(CATALOGUE),
        statistics=shared(STATISTICS, "statistics"),
        crops=shared(CROPS, "crops"),
        model=shared(MODEL, "training"),
        record=shared(RECORD, "training"),
    output:
        PREDICTIONS,
    log:
        f"{LOGS}/inference/{{experiment}}/fold-{{fold}}.log",
    conda:
        ENVIRONMENT
    threads: 8
    params:
        settings=lambda w: signed("inference", STAGES.inference(w.experiment)),
        verify=verify_of,
        plugins=plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/inference.py"
