# Data: simulated fields, and the catalogue of samples with their folds.
rule simulation:
    output:
        SAMPLE_FILE,
    log:
        f"{LOGS}/simulation/{{dataset}}/{{sample}}.log",
    conda:
        ENVIRONMENT
    params:
        settings=lambda w: canonical(STAGES.simulation(w.dataset)),
        plugins=CONFIG.plugins,
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
        plugins=CONFIG.plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/catalogue.py"
