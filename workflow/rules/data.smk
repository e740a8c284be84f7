# Data: simulated fields, and the catalogue of samples with their folds.
rule simulation:
    output:
        SAMPLE_FILE,
    log:
        f"{LOGS}/simulation/{{dataset}}/{{sample}}.log",
    group:
        "simulation"
    conda:
        ENVIRONMENT
    params:
        settings=lambda w: signed("simulation", STAGES.simulation(w.dataset)),
        plugins=plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/simulation.py"


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
        plugins=plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/catalogue.py"
