# Search: the trials of one ablation, one after the other. Their state lives in an undeclared folder, like a training's.
rule search:
    input:
        catalogue=of_base(CATALOGUE),
        statistics=of_base(STATISTICS),
        crops=of_base(CROPS),
    output:
        trials=TRIALS,
        best=BEST,
    log:
        f"{LOGS}/search/{{ablation}}.log",
    conda:
        ENVIRONMENT
    threads: lambda w: base_of(w.ablation).training.threads or 8
    resources:
        gpu=lambda w: 0 if base_of(w.ablation).training.device == "cpu" else 1,
    params:
        settings=settings("search"),
        running=searching,
        folder=SEARCH_STATE,
        verify=lambda w, threads: CONFIG.datasets[base_of(w.ablation).dataset].verify,
    script:
        "../scripts/search.py"
