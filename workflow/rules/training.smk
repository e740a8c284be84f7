# Training: one model a fold. Its state lives in an undeclared folder, which Snakemake never deletes.
def gpus_of(w):
    """GPUs on each node."""
    training = experiment(w).training
    return 0 if training.device == "cpu" else training.gpus


def nodes_of(w):
    return experiment(w).training.nodes


rule training:
    input:
        catalogue=of_dataset(CATALOGUE),
        statistics=shared(STATISTICS, "statistics"),
        crops=shared(CROPS, "crops"),
    output:
        model=MODEL,
        record=RECORD,
        history=HISTORY,
    log:
        f"{LOGS}/training/{{experiment}}/fold-{{fold}}.log",
    conda:
        ENVIRONMENT
    threads: lambda w: experiment(w).training.threads or 8 * experiment(w).training.gpus
    resources:  # Slurm counts `gpu` over all nodes and `gres` on each; without GPUs it needs a task for each node
        gpu=lambda w: gpus_of(w) if nodes_of(w) == 1 else 0,
        gres=lambda w: f"gpu:{gpus_of(w)}" if gpus_of(w) and nodes_of(w) > 1 else "",
        nodes=nodes_of,
        tasks=lambda w: 0 if gpus_of(w) else nodes_of(w),
    params:
        settings=lambda w: canonical(STAGES.training(w.experiment)),
        running=running,
        folder=TRAINING_STATE,
        verify=verify_of,
        plugins=CONFIG.plugins,
        errors=ERROR_LINES,
    script:
        "../scripts/training.py"
