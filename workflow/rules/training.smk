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
    resources:  # Slurm counts `gpu` over all nodes and `gres` on each; without GPUs it needs a task for each node
        gpu=lambda w: gpus_of(w) if nodes_of(w) == 1 else 0,
        gres=(lambda w: f"gpu:{gpus_of(w)}" if gpus_of(w) and nodes_of(w) > 1 else "") if SEVERAL_NODES else "",
        nodes=nodes_of if SEVERAL_NODES else 1,
        tasks=lambda w: 0 if gpus_of(w) else nodes_of(w),
    params:
        settings=settings("training"),
        running=running,
        folder=TRAINING_STATE,
        verify=verify_of,
    script:
        "../scripts/training.py"
