-- scReader from an Apptainer image: copy to MODULEPATH/screader/0.1.0.lua and set the folder.
local folder = "/shared/images"
local image = pathJoin(folder, "screader-0.1.0.sif")
local tools = {
   "annotate", "fetch-descriptions", "embed-genes", "build-cells", "prepare-cells", "train-reader",
   "predict", "plot", "screader",
}

help([[scReader names the types of single cells: screader --help, annotate --help.]])
whatis("Name: screader")
whatis("Version: 0.1.0")
whatis("URL: https://github.com/OWNER/screader")

setenv("SIF", pathJoin(folder, "screader-gpu-0.1.0.sif")) -- what the sbatch files take
for _, tool in ipairs(tools) do
   set_shell_function(tool, "apptainer exec --nv " .. image .. " " .. tool .. ' "$@"', "")
end
