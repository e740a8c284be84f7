# Inference: the held-out samples of a fold, whole, in physical units.
rule inference:
    input:
        unpack(of_experiment(catalogue=CATALOGUE, statistics=STATISTICS, crops=CROPS, model=MODEL, record=RECORD)),
    output:
        PREDICTIONS,
    log:
        f"{LOGS}/inference/{{experiment}}/fold-{{fold}}.log",
    conda:
        ENVIRONMENT
    threads: 8
    params:
        settings=settings("inference"),
        verify=verify_of,
    script:
        "../scripts/inference.py"
