#!/usr/bin/env bash
# Makes an image of a directory and pushes it to ECR, by the API behind `docker push`: no Docker needed.
#
#   push_image.sh DIRECTORY REPOSITORY TAG COMMAND...
#
# The image has one layer, the directory's files below /app, and no base image: in the lab its programs
# are the machine's. On AWS an image needs a base with the programs that it starts.
set -euo pipefail
directory=$1 repository=$2 tag=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

digest() {
  if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi |
    sed 's/ .*//; s/^/sha256:/'
}

# Uploads one file in parts, unless it is there, and prints its descriptor.
upload() {
  local file=$1 type=$2 digest id part first=0 last
  digest=$(digest "$file")
  if [ "$(aws ecr batch-check-layer-availability --repository-name "$repository" \
    --layer-digests "$digest" --query 'layers[0].layerAvailability' --output text)" != AVAILABLE ]; then
    id=$(aws ecr initiate-layer-upload --repository-name "$repository" --query uploadId --output text)
    split -b 10485760 "$file" "$file.part"
    for part in "$file".part*; do
      last=$((first + $(wc -c <"$part") - 1))
      aws ecr upload-layer-part --repository-name "$repository" --upload-id "$id" \
        --part-first-byte "$first" --part-last-byte "$last" --layer-part-blob "fileb://$part" >/dev/null
      first=$((last + 1))
    done
    aws ecr complete-layer-upload --repository-name "$repository" --upload-id "$id" \
      --layer-digests "$digest" >/dev/null
  fi
  printf '{"mediaType": "%s", "digest": "%s", "size": %d}' "$type" "$digest" "$(wc -c <"$file")"
}

mkdir "$work/root"
cp -R "$directory" "$work/root/app"
tar -C "$work/root" -cf "$work/layer" app
command=$(node -p 'JSON.stringify(process.argv.slice(1))' -- "$@")
cat >"$work/config" <<JSON
{"architecture": "amd64", "os": "linux", "config": {"Cmd": $command, "WorkingDir": "/app"},
 "rootfs": {"type": "layers", "diff_ids": ["$(digest "$work/layer")"]}}
JSON
gzip -n "$work/layer"
oci=application/vnd.oci.image
cat >"$work/manifest" <<JSON
{"schemaVersion": 2, "mediaType": "$oci.manifest.v1+json",
 "config": $(upload "$work/config" "$oci.config.v1+json"),
 "layers": [$(upload "$work/layer.gz" "$oci.layer.v1.tar+gzip")]}
JSON
aws ecr put-image --repository-name "$repository" --image-tag "$tag" \
  --image-manifest "file://$work/manifest" --image-manifest-media-type "$oci.manifest.v1+json" >/dev/null
uri=$(aws ecr describe-repositories --repository-names "$repository" \
  --query 'repositories[0].repositoryUri' --output text)
echo "$uri:$tag"
