# Crops: the lattices on which examples are cut out of the fields.
rule crops:
    input:
        unpack(of_experiment(catalogue=CATALOGUE)),
    output:
        CROPS,
    log:
        f"{LOGS}/crops/{{experiment}}.log",
    conda:
        ENVIRONMENT
    params:
        settings=lambda w: signed("crops", STAGES.crops(w.experiment)),
    script:
        "../scripts/crops.py"
