# shellcheck shell=bash
# What the sbatch files share: how an executable is run inside the image, and what it sees there.
#
# SIF              the image; without it, the executables are those on the PATH (module load screader)
# MODELS, HF_HOME  folders with LLMs, filled where there is a network; bound to be read only
# HF_TOKEN         handed on for gated models, where SCREADER_OFFLINE=0 allows a network
binds=("$PWD")

bind() { # the folders of these files, where they are not in the present one
  local file folder
  for file in "$@"; do
    folder=$(realpath "$file")
    if [ ! -d "$folder" ]; then folder=$(dirname "$folder"); fi
    case $folder/ in "$PWD"/*) ;; *) binds+=("$folder") ;; esac
  done
}

inside() { # COMMAND...
  export SCREADER_OFFLINE=${SCREADER_OFFLINE:-1} OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
  export SCREADER_MEMORY_MB=${SLURM_MEM_PER_NODE:-} # as --mem grants; of no matter on a GPU
  if [ -z "${SIF:-}" ]; then
    "$@"
    return
  fi
  local name options=(--cleanenv --no-home --pwd "$PWD") folders=("${binds[@]}")
  if [ -n "${CUDA_VISIBLE_DEVICES:-}" ]; then options+=(--nv); fi
  for name in MODELS HF_HOME; do
    if [ -n "${!name:-}" ]; then folders+=("$(realpath "${!name}"):$(realpath "${!name}"):ro"); fi
  done
  options+=(--bind "$(IFS=, && echo "${folders[*]}")")
  # --cleanenv keeps the job's Python out, and with it what has to be said again.
  for name in SCREADER_OFFLINE SCREADER_MEMORY_MB OMP_NUM_THREADS CUDA_VISIBLE_DEVICES HF_HOME HF_TOKEN; do
    if [ -n "${!name:-}" ]; then export "APPTAINERENV_$name=${!name}"; fi
  done
  apptainer exec "${options[@]}" "$SIF" "$@"
}
