"""Build both Conda packages with rattler-build and compare them with what they are made from.

python containers/conda/build.py TARGET [--channel conda-forge]

Without a channel that can be reached, this Python takes the place of Conda's: a package of it is
made first, so that the recipes' scripts run as they are. The packages' own tests, which need all
dependencies, do not run then, and the models are taken from the installed packages of
requirements/embedded.txt, with the same SHA-256 that the recipe asks of their own addresses.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import click
import yaml

RECIPES = Path(__file__).parent
ROOT = RECIPES.parents[1]
sys.path.insert(0, str(ROOT))


def build(recipe: Path, target: Path, channels: list[str], test: str) -> None:
    """Build one recipe into the channel ``target``; ``test`` is native or skip."""
    from rattler_build import Stage0Recipe, ToolConfiguration

    Stage0Recipe.from_file(recipe).run_build(
        tool_config=ToolConfiguration(test_strategy=test),
        channels=channels,
        output_dir=target,
        package_format="conda",
    )


def stand_ins(target: Path, work: Path) -> None:
    """Packages of this Python, its pip and setuptools, in the channel ``target``."""
    home = Path(sysconfig.get_config_var("prefix"))
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    tools = work / "tools"
    words = ["-m", "pip", "install", "--quiet", "--target", str(tools), "pip", "setuptools"]
    subprocess.run([home / "bin" / name, *words], check=True)
    library = f"$PREFIX/lib/{name}"
    copy = [
        "mkdir -p $PREFIX/bin $PREFIX/lib",
        f"cp {home}/bin/{name} $PREFIX/bin/",
        f"ln -s {name} $PREFIX/bin/python",
        f"cp -r {home}/lib/{name} {home}/lib/libpython* $PREFIX/lib/",
        f"rm -rf {library}/test {library}/site-packages/*",
        f"cp -r {tools}/* {library}/site-packages/",
    ]
    versions = {"python": platform.python_version(), "pip": "26", "setuptools": "80"}
    for package, version in versions.items():
        recipe = work / package / "recipe.yaml"
        recipe.parent.mkdir()
        description = {
            "package": {"name": package, "version": version},
            "build": {"script": copy if package == "python" else ["true"]},
            "requirements": {"run": [] if package == "python" else ["python"]},
            "about": {"summary": "Stands in for the package of conda-forge."},
        }
        recipe.write_text(yaml.safe_dump(description), "utf-8")
        build(recipe, target, [target.as_uri()], "skip")


def with_installed_models(recipe: Path, work: Path) -> Path:
    """The recipe of the models with files that are installed here in place of addresses."""
    from screader_lib.genes.providers.local_models import packaged_model_folder
    from screader_lib.reader.llm.weights import packaged_gguf

    copy = work / "screader-models"
    shutil.copytree(recipe.parent, copy)
    places = {"minilm": packaged_model_folder(), "smollm": packaged_gguf().parent}
    text = recipe.read_text("utf-8")
    for name, folder in places.items():
        text = re.sub(rf"url: \$\{{\{{ {name} \}}\}}/", f"path: {folder}/", text)
    (copy / "recipe.yaml").write_text(text, "utf-8")
    return copy / "recipe.yaml"


def compare(target: Path) -> int:
    """Compare the packages built with git's files, and the models with the recipe's checksums."""
    words = [sys.executable, str(ROOT / "scripts" / "compare_archives.py")]
    (suite,) = target.glob("noarch/screader-suite-*.conda")
    (models,) = target.glob("noarch/screader-models-*.conda")
    status = subprocess.run([*words, str(suite)], cwd=ROOT, check=False).returncode
    sys.path.insert(0, str(ROOT / "scripts"))
    from compare_archives import of_conda

    recipe = yaml.safe_load((RECIPES / "screader-models" / "recipe.yaml").read_text("utf-8"))
    found = of_conda(models)
    sources = [source for source in recipe["source"] if "sha256" in source]
    for source in sources:
        name = f"{source['target_directory']}/{source['url'].rpartition('/')[2]}"
        if found.get(name) != source["sha256"]:
            print(f"{models.name}: {name} is not the recipe's")
            status = 1
    print(f"{models.name}: {len(sources)} files of the models compared")
    return status


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--channel", "channels", multiple=True, help="Channels to build and test with.")
def main(target: Path, channels: tuple[str, ...]) -> None:
    """Build both packages into the folder TARGET and compare them."""
    target = target.resolve()
    target.mkdir(parents=True, exist_ok=True)
    own = target.as_uri()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        models = RECIPES / "screader-models" / "recipe.yaml"
        if not channels:
            stand_ins(target, work)
            models = with_installed_models(models, work)
        for recipe in (models, RECIPES / "screader-suite" / "recipe.yaml"):
            build(recipe, target, [own, *channels], "native" if channels else "skip")
    raise SystemExit(compare(target))


if __name__ == "__main__":
    main()
