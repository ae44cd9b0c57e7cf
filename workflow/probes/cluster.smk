# Small jobs that show what a cluster does with jobs of a grid: emgrid.cli.check_cluster submits them
# under the cluster's profile. Each writes one file into the folder of the check.
import sys


def more(number):
    return lambda wildcards, attempt: number * attempt


# Where and when it ran, whether it looks for a network, and whether the node has the package.
rule plain:
    output:
        "plain.txt",
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        python=sys.executable,
    shell:
        "(hostname; echo offline ${{HF_HUB_OFFLINE:-0}};"
        " {params.python} -c 'import emgrid; print(emgrid.ROOT)'; date +%s.%N) > {output}.part;"
        " mv {output}.part {output}"


# Takes more memory than it asks for, at first.
rule greedy:
    output:
        "greedy.txt",
    resources:
        mem_mb=more(600),
        runtime=5,
        attempt=more(1),
    params:
        python=sys.executable,
    shell:
        "[ {resources.attempt} != 1 ] || {params.python} -c"
        " 'import time; held = bytearray(900 * 2**20); time.sleep({config[hold]})';"
        " echo {resources.attempt} > {output}"


# Takes more time than it asks for, at first.
rule slow:
    output:
        "slow.txt",
    resources:
        mem_mb=600,
        runtime=more(1),
        attempt=more(1),
    shell:
        "[ {resources.attempt} != 1 ] || sleep 600; echo {resources.attempt} > {output}"


# Asks for a GPU where the profile has training ask for it.
rule train:
    output:
        "train.txt",
    resources:
        mem_mb=1000,
        runtime=5,
        gpu=1,
    shell:
        "(hostname; echo ${{CUDA_VISIBLE_DEVICES:-none}}; nvidia-smi -L || true) > {output}"


# One of an array.
rule task:
    output:
        "task{number}.txt",
    resources:
        mem_mb=600,
        runtime=5,
    shell:
        "echo {wildcards.number} > {output}"
