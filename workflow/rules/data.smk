# Data: simulated fields, and the catalogue of samples with their folds.
rule simulation:
    output:
        SAMPLE_FILE,
    log:
        f"{LOGS}/simulation/{{dataset}}/{{sample}}.log",
    conda:
        ENVIRONMENT
    params:
        settings=settings("simulation"),
    script:
        "../scripts/simulation.py"


rule simulations:
    output:
        SIMULATED,
    log:
        f"{LOGS}/simulations/{{dataset}}/{{shard}}.log",
    conda:
        ENVIRONMENT
    params:
        settings=settings("inspection"),
        folder=FIELDS,
    script:
        "../scripts/simulations.py"


rule inspection:
    output:
        INSPECTED,
    log:
        f"{LOGS}/inspection/{{dataset}}/{{shard}}.log",
    conda:
        ENVIRONMENT
    threads: 4
    params:
        settings=inspection_settings,
    script:
        "../scripts/inspection.py"


rule catalogue:
    input:
        samples_of,
    output:
        CATALOGUE,
    log:
        f"{LOGS}/catalogue/{{dataset}}.log",
    conda:
        ENVIRONMENT
    threads: 4
    params:
        settings=catalogue_settings,
    script:
        "../scripts/catalogue.py"
