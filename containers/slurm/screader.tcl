#%Module1.0
# scReader from an Apptainer image: copy to MODULEPATH/screader/0.1.0 and set the folder.
set folder /shared/images
set image  $folder/screader-0.1.0.sif

proc ModulesHelp {} {
    puts stderr "scReader names the types of single cells: screader --help, annotate --help."
}
module-whatis "scReader 0.1.0, https://github.com/OWNER/screader"

# what the sbatch files take
setenv SIF $folder/screader-gpu-0.1.0.sif
foreach tool {
    annotate fetch-descriptions embed-genes build-cells prepare-cells train-reader predict plot
    screader
} {
    set-function $tool "apptainer exec --nv $image $tool \"\$@\""
}
