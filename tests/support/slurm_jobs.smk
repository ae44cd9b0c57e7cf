# Jobs that a cluster ends: test_slurm.py runs them under the SLURM profile. Each is tried again with
# more, and writes which attempt it was that ended well.
import sys

ENDED = ["cancelled", "slow", "greedy", "preempted", "lost"]


def more(number):
    return lambda wildcards, attempt: number * attempt


localrules:
    all,
    here,


rule all:
    input:
        expand("{ended}.txt", ended=ENDED),
        expand("gpu{number}.txt", number=range(3)),
        "here.txt",


rule here:
    output:
        "here.txt",
    shell:
        "env > {output}"


# When, on which GPU, when no longer; and the environment.
rule gpu:
    output:
        "gpu{number}.txt",
    resources:
        gpu=1,
        mem_mb=500,
        runtime=5,
    params:
        python=sys.executable,
    shell:
        "(date +%s.%N; {params.python} -m emgrid.runtime.gpus --gpus 1 printenv CUDA_VISIBLE_DEVICES"
        " HF_HUB_OFFLINE; sleep 2; date +%s.%N) > {output}.part; mv {output}.part {output}"


rule cancelled:
    output:
        "cancelled.txt",
    resources:
        mem_mb=more(500),
        runtime=more(5),
        attempt=more(1),
    shell:
        "touch cancelled.{resources.attempt}; [ {resources.attempt} = 2 ] || sleep 600;"
        " echo {resources.attempt} > {output}"


rule slow:
    output:
        "slow.txt",
    resources:
        mem_mb=more(500),
        runtime=more(1),
        attempt=more(1),
    shell:
        "[ {resources.attempt} = 2 ] || sleep 600; echo {resources.attempt} > {output}"


rule greedy:
    output:
        "greedy.txt",
    resources:
        mem_mb=more(400),
        runtime=more(5),
        attempt=more(1),
    params:
        python=sys.executable,
    shell:
        "{params.python} -c 'import time; held = bytearray(500 * 2**20); time.sleep(5)';"
        " echo {resources.attempt} > {output}"


rule preempted:
    output:
        "preempted.txt",
    resources:
        mem_mb=more(500),
        runtime=more(5),
        attempt=more(1),
    shell:
        "if [ ! -e preempted.1 ]; then touch preempted.1; sleep 600; fi;"
        " echo {resources.attempt} > {output}"


# On another node, which goes down.
rule lost:
    output:
        "lost.txt",
    resources:
        mem_mb=more(500),
        runtime=more(5),
        attempt=more(1),
        slurm_partition="others",
    shell:
        "if [ ! -e lost.1 ]; then touch lost.1; sleep 600; fi;"
        " echo {resources.attempt} $SLURMD_NODENAME > {output}"
