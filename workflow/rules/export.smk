# Export: the model of a fold with its normalisation, one file that torch alone loads; `snakemake export` makes all.
rule emulator:
    input:
        unpack(of_experiment(catalogue=CATALOGUE, statistics=STATISTICS, crops=CROPS, model=MODEL, record=RECORD)),
    output:
        EMULATOR,
    log:
        f"{LOGS}/emulator/{{experiment}}/fold-{{fold}}.log",
    conda:
        ENVIRONMENT
    threads: 2
    params:
        settings=settings("export"),
    script:
        "../scripts/export.py"


rule export:
    input:
        lambda w: [EMULATOR.format(experiment=e, fold=k) for e in STAGES.exported for k in STAGES.folds(e)],
    localrule: True
