#!/usr/bin/env bash
# Gives a machine what tests/containers need: podman, buildah, Apptainer and a base image.
#
#   containers/engine.sh FOLDER      (default /var/tmp/screader-engine)
#
# What is on the machine already is taken. Otherwise, as root on Debian for x86-64, all comes from
# Debian's own packages. FOLDER/bin then holds the commands, FOLDER/base the name of the base
# image. Where no engine can be had, it says why and still ends with 0, and there is no FOLDER/bin.
set -euo pipefail
folder=$(realpath -m "${1:-/var/tmp/screader-engine}")
official=docker.io/library/python:3.11-slim-bookworm
rm -rf "$folder/bin"
mkdir -p "$folder" "$folder/new"
chmod 755 "$folder"
trap 'rm -rf "$folder/new"' EXIT

without() { echo "containers: no engine here: $*"; exit 0; }
say() { echo "containers: $* [${SECONDS}s]"; }
[ "$(uname -sm)" = "Linux x86_64" ] || without "the images are for Linux on x86-64"

commands=(podman buildah runc mmdebstrap mksquashfs squashfuse patchelf newuidmap)
debian_packages() {
  type -P "${commands[@]}" >/dev/null && return
  local log=$folder/apt.log
  { apt-get update -qq &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        podman buildah runc mmdebstrap squashfs-tools squashfuse fuse3 patchelf uidmap; } \
    >"$log" 2>&1 || without "Debian's packages could not be installed ($(tail -n 1 "$log"))"
}

wrapper() { # FOLDER/bin/NAME, from standard input
  { printf '#!/usr/bin/env bash\n'; cat; } >"$folder/new/$1"
  chmod 755 "$folder/new/$1"
}

engine() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    command -v podman buildah >/dev/null && podman info >/dev/null 2>&1 && return # set up already
  fi
  [ "$(id -u)" = 0 ] || without "there is no podman with buildah, and installing them needs root"
  command -v apt-get >/dev/null || without "there is neither podman nor apt-get"
  debian_packages
  # runc needs no systemd and no cgroup of its own, which crun asks for; the default limits are
  # more than a root without CAP_SYS_RESOURCE may ask for.
  cat >"$folder/containers.conf" <<C
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
C
  local name
  for name in podman buildah; do
    wrapper "$name" <<C
export CONTAINERS_CONF='$folder/containers.conf' BUILDAH_ISOLATION=chroot
exec $(command -v "$name") "\$@"
C
  done
  PATH=$folder/new:$PATH podman info >"$folder/podman.log" 2>&1 ||
    without "podman does not work ($(tail -n 1 "$folder/podman.log"))"
}

debian_mirror() { # the one that this machine's own packages come from
  sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list \
    2>/dev/null | head -n 1
}

stand_in() { # a base image with what the official one has: Debian 12, Python 3.11, pip
  mmdebstrap --quiet --variant=minbase --skip=output/dev \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --aptopt='Apt::Install-Recommends "false"' \
    --include=usr-is-merged,python3,python3-venv,ca-certificates,netbase,tzdata \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook='ln -s /usr/bin/python3 "$1/usr/local/bin/python3"' \
    --customize-hook='ln -s /usr/bin/python3 "$1/usr/local/bin/python"' \
    --customize-hook='cd "$1/usr/share/python-wheels" && chroot "$1" sh -c "cd /usr/share/python-wheels && PYTHONPATH=\$(echo pip-*.whl) python3 -m pip install --quiet --no-index --no-cache-dir --root-user-action=ignore --target /usr/local/lib/python3.11/dist-packages pip-*.whl"' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/*.log' \
    --customize-hook=': >"$1/etc/resolv.conf"; : >"$1/etc/hostname"' \
    bookworm "$folder/stand-in.tar" "$(debian_mirror)" >"$folder/base.log" 2>&1 ||
    without "no base image could be made ($(tail -n 1 "$folder/base.log"))"
  podman import --quiet --change 'CMD ["python3"]' --change 'ENV LANG=C.UTF-8' \
    --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
    "$folder/stand-in.tar" "$official" >/dev/null
  rm "$folder/stand-in.tar"
}

base() {
  podman image exists "$official" && return
  timeout 30 podman pull --quiet "$official" >/dev/null 2>&1 && return
  say "no registry answers: a stand-in takes the place of $official"
  stand_in
}

apptainer_of_sid() { # unpacked beside the libraries that it needs; nothing of sid is installed
  local prefix=$folder/apptainer state=$folder/sid one
  [ -x "$prefix/usr/bin/apptainer" ] && return
  rm -rf "$prefix" "$state"
  mkdir -p "$prefix/lib" "$state"/{lists/partial,archives/partial,debs}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_mirror) sid main" \
    >"$state/sources.list"
  local apt=(apt-get -qq -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=-
    -o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state" -o APT::Sandbox::User=root)
  { "${apt[@]}" update && cd "$state/debs" &&
      "${apt[@]}" download apptainer/sid libc6/sid libseccomp2/sid libsqlite3-0/sid; } \
    >"$folder/apptainer.log" 2>&1 || return 1
  cd "$folder"
  for one in "$state"/debs/*.deb; do dpkg-deb -x "$one" "$state/tree"; done
  mkdir -p "$prefix/usr"
  cp -a "$state"/tree/usr/{bin,lib} "$prefix/usr/"
  cp -a "$state/tree/etc" "$prefix/usr/etc"
  cp -a "$state/tree/var" "$prefix/usr/var"
  mv "$prefix"/usr/lib/x86_64-linux-gnu/*.so* "$prefix/lib/"
  # Apptainer looks for its configuration beside the folder it was built for.
  for one in etc var bin; do ln -sfn "../$one" "$prefix/usr/lib/$one"; done
  ln -sfn . "$prefix/usr/lib/lib"
  for one in "$prefix/usr/bin/apptainer" $(find "$prefix/usr" -name starter -type f); do
    patchelf --set-interpreter "$prefix/lib/ld-linux-x86-64.so.2" --force-rpath \
      --set-rpath "$prefix/lib:/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu" "$one"
  done
  rm -rf "$state"
}

# Apptainer's starter wants every capability of root. Where root has fewer, root of a user
# namespace that maps every user to itself has them all.
apptainer_wrapper() {
  wrapper apptainer <<C
program='$folder/apptainer/usr/bin/apptainer'
if [ "\$(id -u)" != 0 ] || capsh --has-p=cap_sys_resource 2>/dev/null; then
  exec "\$program" "\$@"
fi
unshare --user sleep infinity </dev/null >/dev/null 2>&1 &
holder=\$!
trap 'kill -KILL \$holder; wait \$holder 2>/dev/null || true' EXIT
while [ "\$(readlink /proc/\$holder/ns/user)" = "\$(readlink /proc/self/ns/user)" ]; do sleep 0.02; done
echo '0 0 65536' >/proc/\$holder/uid_map
echo '0 0 65536' >/proc/\$holder/gid_map
nsenter --user --target "\$holder" --setuid 0 --setgid 0 "\$program" "\$@"
C
}

apptainer_or_not() {
  if [ ! -e "$folder/apptainer" ] && command -v apptainer >/dev/null; then return; fi
  if [ "$(id -u)" != 0 ] || ! command -v patchelf >/dev/null; then
    say "no Apptainer here: unpacking it needs root and patchelf"
    return
  fi
  # As udev sets it everywhere else: unprivileged users mount their images with it.
  if [ -c /dev/fuse ]; then chmod 0666 /dev/fuse; fi
  if (apptainer_of_sid); then apptainer_wrapper; else
    say "no Apptainer here ($(tail -n 1 "$folder/apptainer.log"))"
  fi
}

engine
say "podman and buildah are there"
PATH=$folder/new:$PATH base
apptainer_or_not
echo "$official" >"$folder/base"
mv "$folder/new" "$folder/bin"
say "$(PATH=$folder/bin:$PATH; podman --version; command -v apptainer >/dev/null && apptainer --version)"
