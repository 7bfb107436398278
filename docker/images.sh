#!/usr/bin/env bash
# Builds the stack's images without a registry: node and toxiproxy from this
# module, haproxy, prometheus and alertmanager from this machine's packages:
#   apt-get install -y --no-install-recommends haproxy prometheus prometheus-alertmanager
# docker/images.sh builds all, docker/images.sh node toxiproxy only these.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DOCKER_BUILDKIT=0 # Engine 20.10 has no buildx; scratch needs none

die() { echo "images.sh: $*" >&2; exit 1; }

build() { # TAG DOCKERFILE CONTEXT [docker build arguments]
  local tag=$1 file=$2 context=$3; shift 3
  docker build -q --label fivenines.stack=image -t "$tag" -f "$file" "$@" "$context" 2>"$work/err" >/dev/null || { cat "$work/err" >&2; die "$tag: docker build failed"; }
  echo "$tag"
}

keep() { mkdir -p "$1" && touch "$1/.keep"; } # COPY needs a file to make a folder of

go_image() { # TAG DOCKERFILE BINARY PACKAGE
  local c=$work/$3; keep "$c/data"
  CGO_ENABLED=0 go build -ldflags='-s -w' -o "$c/$3" "$4"
  build "$1" "$2" "$c"
}

debian_image() { # NAME PROGRAM PATH_IN_IMAGE DATA ENTRYPOINT [FOLDER that the program reads]
  local c=$work/$1 bin
  bin=$(command -v "$2") || die "$2 is not installed: apt-get install -y --no-install-recommends haproxy prometheus prometheus-alertmanager"
  keep "$c/data"
  mkdir -p "$c/root/etc" "$c/root$(dirname "$3")"
  cp -L "$bin" "$c/root$3"
  # Each line of ldd ends with the path and an address; the loader itself is one of them.
  ldd "$bin" | awk '$2 == "=>" {print $3} $1 ~ /^\// {print $1}' | while read -r lib; do
    [ -f "$lib" ] || die "$2 needs $lib, which is not there: reinstall its package"
    mkdir -p "$c/root$(dirname "$lib")" && cp -L "$lib" "$c/root$lib"
  done
  if [ -n "${6:-}" ]; then
    [ -d "$6" ] || die "$2 needs $6, which is not there: reinstall its package"
    mkdir -p "$c/root$6" && cp -rL "$6/." "$c/root$6/"
  fi
  echo 'nobody:x:65534:65534:nobody:/:/nonexistent' >"$c/root/etc/passwd"
  echo 'nobody:x:65534:' >"$c/root/etc/group"
  cp docker/debian.Dockerfile "$c/Dockerfile"
  [ -z "$5" ] || echo "ENTRYPOINT [\"$5\"]" >>"$c/Dockerfile"
  build "fivenines/$1:debian" "$c/Dockerfile" "$c" --build-arg "DATA=$4"
}

for image in ${@:-node toxiproxy haproxy prometheus alertmanager}; do
  case $image in
    node) go_image fivenines/node:dev docker/node.Dockerfile fivenines ./cmd/fivenines ;;
    toxiproxy) go_image fivenines/toxiproxy:dev docker/links.Dockerfile toxiproxy github.com/Shopify/toxiproxy/v2/cmd/server ;;
    haproxy) debian_image haproxy haproxy /usr/sbin/haproxy /var/lib/haproxy "" ;;
    prometheus) debian_image prometheus prometheus /bin/prometheus /prometheus /bin/prometheus ;;
    alertmanager) debian_image alertmanager prometheus-alertmanager /bin/alertmanager /alertmanager /bin/alertmanager /usr/share/prometheus/alertmanager ;;
    *) die "no image is called $image: node, toxiproxy, haproxy, prometheus, alertmanager" ;;
  esac
done
# What the new images replaced has no name any more.
docker image prune -f --filter label=fivenines.stack=image >/dev/null
