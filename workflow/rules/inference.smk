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


# New samples: checked as soon as their catalogue is there, before anything that takes long.
rule admission:
    input:
        unpack(of_learnt(catalogue=CATALOGUE, crops=CROPS)),
        samples=predicted_samples,
    output:
        ADMITTED,
    log:
        f"{LOGS}/admission/{{prediction}}.log",
    priority: 1
    conda:
        ENVIRONMENT
    params:
        settings=settings("admission"),
    script:
        "../scripts/admission.py"


rule prediction:
    input:
        unpack(of_learnt(catalogue=CATALOGUE, statistics=STATISTICS, crops=CROPS, model=MODEL, record=RECORD)),
        samples=predicted_samples,
        admitted=ADMITTED,
    output:
        PREDICTED,
    log:
        f"{LOGS}/prediction/{{prediction}}/fold-{{fold}}.log",
    conda:
        ENVIRONMENT
    threads: 8
    params:
        settings=settings("prediction"),
        verify=verify_of_predicted,
    script:
        "../scripts/prediction.py"


rule ensemble:
    input:
        each_model(PREDICTED),
    output:
        mean=MEAN,
        spread=SPREAD,
    log:
        f"{LOGS}/ensemble/{{prediction}}.log",
    conda:
        ENVIRONMENT
    params:
        settings=settings("ensemble"),
    script:
        "../scripts/ensemble.py"


rule answers:
    input:
        each_model(PREDICTED),
    output:
        samples=ANSWERS,
        slices=SLICE_ANSWERS,
    log:
        f"{LOGS}/answers/{{prediction}}.log",
    conda:
        ENVIRONMENT
    params:
        settings=settings("answers"),
    script:
        "../scripts/answers.py"


# Files for other programs, in a folder that belongs to the workflow: it is emptied before they are written anew.
rule writing:
    input:
        unpack(of_learnt(catalogue=CATALOGUE)),
        samples=predicted_samples,
        predictions=lambda w: final(w.prediction),
    output:
        files=directory(WRITTEN),
        contents=CONTENTS,
    log:
        f"{LOGS}/writing/{{prediction}}.log",
    conda:
        ENVIRONMENT
    params:
        settings=settings("writing"),
    script:
        "../scripts/writing.py"


rule predict:
    input:
        predicted,
    localrule: True
