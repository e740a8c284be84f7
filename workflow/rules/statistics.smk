# Statistics: moments of every sample in one pass for all folds, then pooled over the training samples of a fold.
rule moments:
    input:
        catalogue=CATALOGUE,
    output:
        MOMENTS,
    log:
        f"{LOGS}/moments/{{dataset}}/{{transform}}.log",
    conda:
        ENVIRONMENT
    threads: 4
    params:
        settings=lambda w: signed("moments", STAGES.moments(w.dataset, w.transform)),
        verify=lambda w, threads: CONFIG.datasets[w.dataset].verify,
    script:
        "../scripts/moments.py"


# Only where a scaling needs them.
rule quantiles:
    input:
        catalogue=CATALOGUE,
    output:
        QUANTILES,
    log:
        f"{LOGS}/quantiles/{{dataset}}/{{transform}}.log",
    conda:
        ENVIRONMENT
    threads: 4
    params:
        settings=lambda w: signed("quantiles", STAGES.moments(w.dataset, w.transform)),
        verify=lambda w, threads: CONFIG.datasets[w.dataset].verify,
    script:
        "../scripts/quantiles.py"


rule statistics:
    input:
        unpack(of_experiment(catalogue=CATALOGUE)),
        moments=moments_of,
    output:
        STATISTICS,
    log:
        f"{LOGS}/statistics/{{experiment}}/fold-{{fold}}.log",
    conda:
        ENVIRONMENT
    params:
        settings=settings("statistics"),
    script:
        "../scripts/statistics.py"
