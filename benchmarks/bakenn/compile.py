"""Run in bakeNN's own virtual environment: compile a .tflite with one of its policies.

python compile.py MODEL.tflite FOLDER TARGET POLICY [cmsis-nn]
"""

import sys

import bakenn

source, folder, target, policy, *more = sys.argv[1:]
options = bakenn.CBackendOptions(
    kernel_policy=bakenn.KernelPolicy(policy), enable_cmsis_nn="cmsis-nn" in more, target=bakenn.resolve_target(target)
)
bakenn.compile_tflite(source, folder, name="rival", backend_options=options)
